"""Sines, metrics, learning rate and inverse-transform sampling against arrays computed by the JAX reference."""

import numpy as np
import pytest
import torch

from mipnerf.evaluation import metrics
from mipnerf.network import mip
from mipnerf.training.schedule import learning_rate_decay

F32 = {"atol": 1e-7, "rtol": 1e-6}

LEARNING_RATES = {
    "default": {
        "lr_init": 5e-4,
        "lr_final": 5e-6,
        "max_steps": 1_000_000,
        "lr_delay_steps": 2500,
        "lr_delay_mult": 0.01,
    },
    "nodelay": {"lr_init": 5e-4, "lr_final": 5e-6, "max_steps": 1_000_000},
    "short": {"lr_init": 5e-4, "lr_final": 5e-6, "max_steps": 200, "lr_delay_steps": 50, "lr_delay_mult": 0.01},
    "short_nodelay": {"lr_init": 1e-3, "lr_final": 1e-3, "max_steps": 200},
}

SSIM_OPTIONS = {
    "fs7_sigma2_max2": {"max_val": 2.0, "filter_size": 7, "filter_sigma": 2.0},
    "fs8_even": {"filter_size": 8},
    "k1k2": {"k1": 0.05, "k2": 0.1},
}
SSIM_PAIRS = [
    *("rand_16x16", "rand_32x48", "rand_11x11", "rand_12x31x1", "rand_batch", *SSIM_OPTIONS),
    *("struct_noise", "struct_shift", "struct_bright", "struct_same", "struct_inverted", "const", "white_vs_noise"),
]


def test_safe_sines(golden_case, compare):
    x, expected = golden_case("math_trig")
    actual = {
        "safe_sin": mip.safe_sin(x["x"]),
        "safe_cos": mip.safe_cos(x["x"]),
        "wrapped": mip._reduce_angle(x["x"]),
    }
    compare.all("math_trig", actual, expected, **F32)


def test_psnr_average_error_and_srgb(golden_case, compare):
    x, expected = golden_case("math_scalar")
    actual = {
        "psnr_of_mse": metrics.mse_to_psnr(x["mse"]),
        "mse_of_psnr": metrics.psnr_to_mse(x["psnr"]),
        "avg_error": metrics.compute_avg_error(x["avg_psnr"], x["avg_ssim"], x["avg_lpips"]),
        "linear_to_srgb": metrics.linear_to_srgb(x["lin"]),
        "srgb_to_linear": metrics.srgb_to_linear(x["lin"]),
    }
    compare.all("math_scalar", actual, expected, **F32)


def test_average_error_of_the_summary(golden, compare):
    summary = golden("eval_summary")
    for table in ("b4", "b1"):
        means = (torch.from_numpy(summary[f"{table}.{metric}"]) for metric in ("psnr", "ssim", "lpips"))
        expected = summary[f"{table}.avg_avg"]
        compare(f"eval_summary/{table}.avg_avg", metrics.compute_avg_error(*means), expected, rtol=1e-12)


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_learning_rate_decay(golden, compare, name):
    data = golden("math_lr")
    steps = data["steps_short" if name.startswith("short") else "steps"]
    actual = [learning_rate_decay(int(step), **LEARNING_RATES[name]) for step in steps]
    compare(f"math_lr/lr_{name}", actual, data[f"lr_{name}"], rtol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_sorted_piecewise_constant_pdf(golden_case, compare, dtype):
    x, expected = golden_case("math_sorted_pdf", dtype)
    bin_0_to_1 = {"bins": torch.tensor([0.0, 1.0], dtype=dtype), "weights": torch.ones(1, dtype=dtype)}
    for n in (17, 33, 100):
        samples = mip.sorted_piecewise_constant_pdf(**x, num_samples=n, randomized=False)
        # Samples of the uniform distribution are the grid of probabilities itself.
        u = mip.sorted_piecewise_constant_pdf(**bin_0_to_1, num_samples=n, randomized=False)
        if dtype == torch.float64:
            compare(f"f64/math_sorted_pdf/samples_{n}", samples, expected[f"samples_{n}"], atol=1e-12, rtol=1e-14)
            compare(f"f64/math_sorted_pdf/u_{n}", u, expected[f"u_{n}"], atol=1e-15)
            continue
        atol = np.full(samples.shape, 1e-5)
        atol[-2:, -1] = 0.5  # the last bins hold next to no probability; float32 cannot say where in them
        compare(f"math_sorted_pdf/samples_{n}", samples, expected[f"samples_{n}"], atol, rtol=1e-6)
        compare(f"math_sorted_pdf/u_{n}", u, expected[f"u_{n}"], atol=1e-7)


@pytest.mark.parametrize("pair", SSIM_PAIRS)
def test_compute_ssim(golden, compare, pair):
    data = golden("math_ssim")
    images = [torch.from_numpy(data[f"{pair}.img{i}"]) for i in (0, 1)]
    options = {"max_val": 1.0} | SSIM_OPTIONS.get(pair, {})
    # On flat patches the variance is a difference of nearly equal squares: float32 leaves it few digits.
    flat = not (pair.startswith("rand_") or pair in SSIM_OPTIONS)
    expected_map, expected_mean = data[f"{pair}.map"], data[f"{pair}.ssim"]
    compare(
        f"math_ssim/{pair}.map",
        metrics.compute_ssim(*images, **options, return_map=True),
        expected_map,
        1e-3 if flat else 5e-6,
    )
    compare(f"math_ssim/{pair}.ssim", metrics.compute_ssim(*images, **options), expected_mean, 2e-4 if flat else 1e-6)


def test_every_golden_ssim_pair_is_compared(golden):
    assert {key.split(".")[0] for key in golden("math_ssim")} == set(SSIM_PAIRS)
