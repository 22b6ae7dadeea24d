"""mipnerf.network.mip against arrays computed by the JAX reference.

Where float32 itself is noisy the same calls are compared in float64, tightly, and in float32 with the bound that the
reference's own float32 keeps to.
"""

import numpy as np
import pytest
import torch

from mipnerf.cameras import convert_to_ndc
from mipnerf.network import mip

F32 = {"atol": 5e-7, "rtol": 5e-7}
F64 = {"atol": 1e-12, "rtol": 1e-12}
both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def file_of(name: str, dtype: torch.dtype) -> str:
    return f"f64/{name}" if dtype == torch.float64 else name


def test_lift_gaussian(golden_case, compare):
    x, expected = golden_case("mip_lift_gaussian")
    mean, cov_diag = mip.lift_gaussian(**x, diag=True)
    full_mean, cov_full = mip.lift_gaussian(**x, diag=False)
    assert torch.equal(mean, full_mean)
    compare.all("mip_lift_gaussian", {"mean": mean, "cov_diag": cov_diag, "cov_full": cov_full}, expected, **F32)


@both_precisions
def test_conical_frustum_to_gaussian(golden_case, compare, dtype):
    x, expected = golden_case("mip_conical_frustum", dtype)
    actual = {}
    for form in ("stable", "unstable"):
        for shape in ("diag", "full"):
            mean, cov = mip.conical_frustum_to_gaussian(**x, diag=shape == "diag", stable=form == "stable")
            actual |= {f"{form}_{shape}_mean": mean, f"{form}_{shape}_cov": cov}
    if dtype == torch.float64:
        compare.all("f64/mip_conical_frustum", actual, expected, **F64)
        return
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        # Cancellation takes most of the digits of the naive equations.
        tolerance = {"atol": 1e-3, "rtol": 1e-4} if key.startswith("unstable") else F32
        compare(f"mip_conical_frustum/{key}", actual[key], value, **tolerance)


def test_cylinder_to_gaussian(golden_case, compare):
    x, expected = golden_case("mip_cylinder")
    mean, cov_diag = mip.cylinder_to_gaussian(**x, diag=True)
    _, cov_full = mip.cylinder_to_gaussian(**x, diag=False)
    compare.all("mip_cylinder", {"mean": mean, "cov_diag": cov_diag, "cov_full": cov_full}, expected, **F32)


def test_cast_rays(golden_case, compare):
    x, expected = golden_case("mip_cast_rays")
    actual = {}
    for shape in ("cone", "cylinder"):
        actual[f"{shape}_mean"], actual[f"{shape}_cov_diag"] = mip.cast_rays(**x, ray_shape=shape)
        _, actual[f"{shape}_cov_full"] = mip.cast_rays(**x, ray_shape=shape, diag=False)
    compare.all("mip_cast_rays", actual, expected, **F32)


def test_expected_sin(golden_case, compare):
    x, expected = golden_case("mip_expected_sin")
    y, y_var = mip.expected_sin(**x)
    compare.all("mip_expected_sin", {"y": y, "y_var": y_var}, expected, **F32)


@both_precisions
def test_integrated_pos_enc(golden_case, compare, dtype):
    x, expected = golden_case("mip_ipe", dtype)
    actual = {"ipe_zero_0_16": mip.integrated_pos_enc((x["x"], torch.zeros_like(x["x"])), 0, 16)}
    for low, high in ((0, 16), (0, 4), (2, 5)):
        diag = mip.integrated_pos_enc((x["x"], x["var_diag"]), low, high)
        full = mip.integrated_pos_enc((x["x"], x["cov_full"]), low, high, diag=False)
        actual |= {f"ipe_diag_{low}_{high}": diag, f"ipe_full_{low}_{high}": full}
    compare.all(file_of("mip_ipe", dtype), actual, expected, **(F64 if dtype == torch.float64 else F32))


def test_pos_enc(golden_case, compare):
    x, expected = golden_case("mip_pos_enc")
    actual = {
        "viewdir_0_4_identity": mip.pos_enc(x["x"], 0, 4),
        "viewdir_0_4": mip.pos_enc(x["x"], 0, 4, append_identity=False),
        "big_0_10_identity": mip.pos_enc(x["xbig"], 0, 10),
        "big_1_3": mip.pos_enc(x["xbig"], 1, 3, append_identity=False),
    }
    compare.all("mip_pos_enc", actual, expected, **F32)


def test_sample_along_rays(golden_case, compare):
    x, expected = golden_case("mip_sample_along_rays")
    actual = {}
    for num_samples in (16, 128):
        for spacing in ("lin", "lindisp"):
            tag = f"n{num_samples}_{spacing}"
            for shape in ("cone", "cylinder"):
                t_vals, (mean, cov) = mip.sample_along_rays(
                    **x, num_samples=num_samples, randomized=False, lindisp=spacing == "lindisp", ray_shape=shape
                )
                actual |= {f"{tag}_t": t_vals, f"{tag}_{shape}_mean": mean, f"{tag}_{shape}_cov": cov}
    compare.all("mip_sample_along_rays", actual, expected, **F32)


@both_precisions
def test_resample_along_rays(golden_case, compare, dtype):
    x, expected = golden_case("mip_resample_along_rays", dtype)
    actual = {}
    for padding in ("0.01", "0"):
        for shape in ("cone", "cylinder"):
            t_vals, (mean, cov) = mip.resample_along_rays(
                **x, randomized=False, ray_shape=shape, stop_grad=True, resample_padding=float(padding)
            )
            tag = f"pad{padding}"
            actual |= {f"{tag}_t": t_vals, f"{tag}_{shape}_mean": mean, f"{tag}_{shape}_cov": cov}
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        if dtype == torch.float64:
            compare(f"f64/mip_resample_along_rays/{key}", actual[key], value, atol=1e-10, rtol=1e-10)
            continue
        # A spike of weight leaves the other bins so little probability that one rounding of the cumulative sum shows.
        atol = np.full(value.shape, 1e-5)
        atol[2] = 1e-4
        atol[4] = 0.03 if key.startswith("pad0_") else 1e-5
        compare(f"mip_resample_along_rays/{key}", actual[key], value, atol)


def test_volumetric_rendering(golden_case, compare):
    x, expected = golden_case("mip_volumetric_rendering")
    white, distance, acc, weights = mip.volumetric_rendering(**x, white_bkgd=True)
    black, *others = mip.volumetric_rendering(**x, white_bkgd=False)
    assert all(map(torch.equal, others, (distance, acc, weights)))
    actual = {
        "comp_rgb_white": white,
        "comp_rgb_black": black,
        "distance": distance,
        "acc": acc,
        "weights": weights,
    }
    # Sums over samples, whose order is that of the CPU.
    compare.all("mip_volumetric_rendering", actual, expected, atol=5e-7, rtol=1e-6)


def test_convert_to_ndc(golden_case, compare):
    x, expected = golden_case("data_convert_to_ndc")
    actual = {}
    for suffix, near in (("", 1.0), ("_near0p5", 0.5)):
        origins, directions = convert_to_ndc(x["origins"], x["directions"], 138.14, w=90, h=160, near=near)
        actual |= {f"ndc_origins{suffix}": origins, f"ndc_directions{suffix}": directions}
    compare.all("data_convert_to_ndc", actual, expected, **F32)
