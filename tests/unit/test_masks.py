"""What a mask hides takes no part: not in batches, not in metrics, not in figures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mipnerf.config import DataConfig
from mipnerf.evaluation.metrics import compute_ssim
from mipnerf.evaluation.views import score_view
from mipnerf.pixels import counted
from mipnerf.training.batching import RayBatcher


@pytest.fixture
def masked(small_scene):
    """`small_scene`, of whose pixels about half count; those that do not are of one colour that no other has."""
    rng = np.random.default_rng(3)
    masks = [rng.random(image.shape[:2]) < 0.5 for image in small_scene.images]
    for mask in masks:
        mask[0, 0] = True
    images = []
    for image, mask in zip(small_scene.images, masks, strict=True):
        image = np.minimum(image, 250)
        image[..., 3:] = 255
        image[~mask] = 255
        images.append(image)
    return replace(small_scene, images=images, masks=masks)


@pytest.mark.parametrize("batching", ["all_images", "single_image", "all_levels"])
@pytest.mark.parametrize("tries", [1, 3])
def test_no_masked_pixel_is_ever_drawn(masked, batching, tries):
    data = DataConfig(batching=batching, foreground_tries=tries, white_bkgd=False)
    batcher = RayBatcher(masked, 512, data)
    whole = RayBatcher(replace(masked, masks=None), 512, data)
    assert all((next(batcher).pixels < 1).all() for _ in range(20))
    assert any((next(whole).pixels == 1).all(-1).any() for _ in range(20))


def test_a_ray_goes_through_the_pixel_whose_colour_it_has(masked):
    batcher = RayBatcher(masked, 4096, DataConfig(white_bkgd=False))
    colors = {}
    for view in range(masked.num_views):
        height, width = masked.images[view].shape[:2]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        rays = batcher.cameras.cast(torch.full((height * width,), view), x.flatten(), y.flatten())
        rows = np.round(torch.cat([rays.origins, rays.directions], 1).numpy(), 4) + 0.0
        for row, color in zip(rows, masked.images[view].reshape(-1, 4)[:, :3], strict=True):
            colors[row.tobytes()] = color / 255
    batch = next(batcher)
    rows = np.round(torch.cat([batch.rays.origins, batch.rays.directions], 1).numpy(), 4) + 0.0
    expected = np.stack([colors[row.tobytes()] for row in rows])
    np.testing.assert_allclose(batch.pixels.numpy(), expected, atol=1e-6)


def test_scores_are_those_of_the_pixels_that_count():
    rng = torch.Generator().manual_seed(0)
    truth, rgb = (torch.rand(24, 30, 3, generator=rng) for _ in range(2))
    mask = torch.ones(24, 30, dtype=torch.bool)
    mask[:, 20:] = False
    scores = score_view(rgb, truth, mask=mask)
    part = score_view(rgb[:, :20], truth[:, :20])
    assert scores["psnr"] == pytest.approx(part["psnr"], rel=1e-6)
    assert scores["ssim"] == pytest.approx(part["ssim"], rel=1e-5)
    rgb[:, 20:] = 7.0
    assert score_view(rgb, truth, mask=mask) == scores


def test_ssim_takes_the_windows_without_a_masked_pixel():
    rng = torch.Generator().manual_seed(1)
    truth, rgb = (torch.rand(20, 20, 3, generator=rng) for _ in range(2))
    mask = torch.ones(20, 20, dtype=torch.bool)
    mask[3, 12] = False
    values = compute_ssim(rgb, truth, max_val=1.0, return_map=True)
    is_whole = torch.tensor([[bool(mask[y : y + 11, x : x + 11].all()) for x in range(10)] for y in range(10)])
    assert score_view(rgb, truth, mask=mask)["ssim"] == pytest.approx(values[is_whole].mean().item())
    assert "ssim" not in score_view(rgb, truth, mask=mask & (torch.arange(20) % 5 > 0))


def test_lpips_sees_the_truth_where_pixels_do_not_count():
    truth, rgb = torch.zeros(12, 12, 3), torch.ones(12, 12, 3)
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[0] = True
    seen = []
    score_view(rgb, truth, lambda image, _: seen.append(image) or 0.5, mask)
    assert torch.equal(seen[0], rgb * mask[..., None])


def test_a_mask_that_hides_nothing_is_none(small_scene):
    masks = [np.ones(image.shape[:2], bool) for image in small_scene.images]
    whole = replace(small_scene, masks=masks)
    assert counted(whole, 0, torch.device("cpu")) is None
    assert whole.fingerprint() == small_scene.fingerprint()
    masks[1] = ~masks[1]
    assert replace(small_scene, masks=masks).fingerprint() != small_scene.fingerprint()
