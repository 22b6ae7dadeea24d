"""Where google/mipnerf surprises, and what we made of it. What other tests pin already is not repeated here."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mip_inputs import random, random_t_vals, resampled

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import ModelConfig, OperationConfig, TrainConfig
from mipnerf.datasets.convert import coarser_levels
from mipnerf.datasets.scene import pinhole_pix2cam
from mipnerf.evaluation.views import score_view
from mipnerf.network import mip
from mipnerf.network.model import MipNerf
from mipnerf.pixels import to_rgb
from mipnerf.training.history import read_rows
from mipnerf.training.loop import train
from mipnerf.training.optimization import compute_loss
from mipnerf.training.schedule import learning_rate_decay

CONFIG = Path(__file__).parents[2] / "config"

# --- The network


def test_the_input_rejoins_after_the_fifth_layer_only():
    shapes = [(layer.in_features, layer.out_features) for layer in MipNerf(ModelConfig()).mlp.linear_layers()]
    trunk = [(96, 256), *[(256, 256)] * 4, (352, 256), (256, 256), (256, 256)]
    density, bottleneck, condition, rgb = (256, 1), (256, 256), (283, 128), (128, 3)
    assert shapes == [*trunk, density, bottleneck, condition, rgb]


def test_sines_of_large_arguments_are_those_of_a_rounded_period():
    """Within the reach of the encoding, degrees up to 15 and coordinates up to 6."""
    x = np.random.default_rng(0).uniform(-6, 6, 20_000).astype(np.float32) * np.float32(2**15)
    period = np.float32(100 * np.pi)
    rounded = np.sin(np.where(np.abs(x) < period, x, np.mod(x, period)).astype(np.float64))
    np.testing.assert_allclose(mip.safe_sin(torch.from_numpy(x)), rounded, atol=1e-7)
    assert np.abs(rounded - np.sin(x.astype(np.float64))).max() > 3e-3


# --- Rays


def test_a_ray_follows_the_formula_of_the_reference(small_scene):
    """R ((x + .5 - w / 2) / f, -(y + .5 - h / 2) / f, -1), not normalised."""
    width, height, focal = 6, 4, 5.5
    image = np.zeros((height, width, 4), np.uint8)
    scene = replace(small_scene.select([2]), images=[image], pix2cams=pinhole_pix2cam(focal, width, height)[None])
    rays = image_rays(Cameras.from_scene(scene), 0, height, width)
    for i in range(height * width):
        y, x = divmod(i, width)
        in_camera = [(x + 0.5 - width / 2) / focal, -(y + 0.5 - height / 2) / focal, -1]
        direction = scene.camtoworlds[0, :, :3] @ in_camera
        np.testing.assert_allclose(rays.directions[i], direction, atol=2e-7)
        np.testing.assert_allclose(rays.viewdirs[i], direction / np.linalg.norm(direction), atol=2e-7)
        np.testing.assert_allclose(rays.radii[i], 0.57735 / focal, rtol=1e-5)


def test_the_radius_is_that_of_neighbouring_rows_not_columns(small_scene):
    scene = small_scene.select([0])
    taller = replace(scene, pix2cams=scene.pix2cams * [[[1], [3], [1]]])
    wider = replace(scene, pix2cams=scene.pix2cams * [[[3], [1], [1]]])
    radius, with_taller, with_wider = (Cameras.from_scene(s).radii for s in (scene, taller, wider))
    torch.testing.assert_close(with_taller, 3 * radius)
    assert torch.equal(with_wider, radius)


# --- Sampling


def test_resampled_ends_are_not_near_and_far():
    """They are so only by chance: the blurred weights, not the ends, decide."""
    t_vals, weights = random_t_vals(0), torch.zeros(5, 8, dtype=torch.float64)
    weights[:, 4] = 1
    new = resampled(t_vals, weights, randomized=True, generator=torch.Generator().manual_seed(0))
    assert (new[:, 0] > t_vals[:, 0]).all()
    assert (new[:, -1] < t_vals[:, -1]).all()


def test_probabilities_stay_below_the_end_of_their_stratum(monkeypatch):
    """By one rounding of float32, also the last, in every precision."""
    ones = torch.ones(1, 1, dtype=torch.float64)
    bins = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    fixed = mip.sorted_piecewise_constant_pdf(bins, ones, 5, randomized=False)
    torch.testing.assert_close(fixed[0], torch.linspace(0, 1 - 2**-23, 5, dtype=torch.float64), rtol=0, atol=1e-15)
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.ones(shape, dtype=options["dtype"]))
    highest = mip.sorted_piecewise_constant_pdf(bins, ones, 4, randomized=True)
    expected = torch.arange(1, 5).double()[None] / 4 - 2**-23
    torch.testing.assert_close(highest, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("padding", [0.01, 0.1])
def test_the_padding_of_the_weights_does_not_scale_with_them(padding):
    """Next to no weight is drowned by it: sampling is then uniform over the intervals."""
    t_vals = random_t_vals(1)
    for scale in (1e-9, 1.0):
        weights = scale * torch.eye(8, dtype=torch.float64)[:5]
        new = resampled(t_vals, weights, resample_padding=padding)
        assert torch.allclose(new[:, 1:-1], t_vals[:, 1:-1], rtol=1e-5) == (scale < 1)


# --- Training


def test_the_loss_is_three_times_the_mean_squared_error():
    """One channel of weights is summed, three of errors."""
    rgb, pixels = random(7, 3, seed=1), random(7, 3, seed=2)
    for area in (1.0, 16.0):
        loss = compute_loss([(rgb,)], pixels, torch.full((7, 1), area, dtype=torch.float64), TrainConfig())
        torch.testing.assert_close(loss.loss, 3 * ((rgb - pixels) ** 2).mean())


def test_steps_count_from_one_to_max_steps(tmp_path, run_with, small_scene):
    run = run_with(train={"lr_delay_steps": 5, "lr_delay_mult": 0.1})
    train(run, OperationConfig(print_every=1, device="cpu"), small_scene, tmp_path, threads=1)
    settings = run.train
    expected = [
        learning_rate_decay(step, settings.lr_init, settings.lr_final, settings.max_steps, settings.lr_delay_steps, 0.1)
        for step in range(1, settings.max_steps + 1)
    ]
    rows = read_rows(tmp_path / "history.csv")
    assert [row.step for row in rows] == list(range(1, settings.max_steps + 1))
    assert [row.lr for row in rows] == pytest.approx(expected, rel=1e-6)
    assert rows[-1].lr == pytest.approx(settings.lr_final)


# --- Images


def test_psnr_is_that_of_floats_outside_of_the_range_too():
    truth = torch.ones(12, 12, 3)
    assert score_view(truth + 0.3, truth)["psnr"] == pytest.approx(-20 * math.log10(0.3), rel=1e-5)
    fine = score_view(truth - 0.0004, truth)["psnr"]  # a tenth of a step of 8 bits
    assert fine == pytest.approx(-20 * math.log10(0.0004), rel=1e-4)


def test_coarse_pixels_are_whitened_after_they_are_averaged():
    """A black opaque pixel beside a black transparent one: white first, the mean would be brighter."""
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[:, 0, 3] = 255
    coarse = to_rgb(torch.from_numpy(coarser_levels(pixels, 2)[0]), white_bkgd=True)
    np.testing.assert_allclose(coarse[0, 0], 1 - 127 / 255, atol=1e-7)
    pixels[:, 1, :3] = 200  # the colour behind alpha 0 counts as much as any
    coarse = to_rgb(torch.from_numpy(coarser_levels(pixels, 2)[0]), white_bkgd=True)
    np.testing.assert_allclose(coarse[0, 0], 100 / 255 * 127 / 255 + 1 - 127 / 255, atol=1e-7)
    white_first = to_rgb(torch.from_numpy(pixels), white_bkgd=True).mean((0, 1))
    assert (coarse[0, 0] - white_first).abs().min() > 0.19


def test_a_coarse_pixel_is_cut_off_to_eight_bits_not_rounded():
    """Of sums of 4, 16 and 64 bytes the remainders are lost, 3/8, 15/32 and 63/128 of a step in the mean.

    Where nothing remains, float32 is below the whole number sometimes, and all of a step is lost.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 4), dtype=np.uint8)
    exact = pixels.mean()
    bias = [float(level.mean() - exact) for level in coarser_levels(pixels, 4)]
    assert bias == pytest.approx([-3 / 8, -15 / 32, -63 / 128], abs=0.02)


# --- Ablations

SETTINGS = {
    ("variants", "mipnerf_wo_misc", "model"): {"density_activation": "relu", "density_bias": 0.0, "rgb_padding": 0.0},
    ("variants", "mipnerf_wo_ipe", "model"): {"disable_integration": True},
    ("variants", "mipnerf_wo_area_loss", "train"): {"disable_multiscale_loss": True},
    ("datasets", "blender", "data"): {"batching": "single_image"},
    ("datasets", "llff", "model"): {"ray_shape": "cylinder", "density_noise": 1.0},
    ("datasets", "llff", "data"): {"white_bkgd": False, "near": 0.0, "far": 1.0, "factor": 4, "llffhold": 8},
}


@pytest.mark.parametrize("keys", SETTINGS, ids="/".join)
def test_ablations_and_datasets_have_the_settings_of_the_gin_files(keys):
    kind, name, section = keys
    content = yaml.safe_load((CONFIG / f"{kind}.yaml").read_text())[kind][name]
    assert content[section] == SETTINGS[keys]
