from dataclasses import replace

import numpy as np
import pytest
import torch

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import DataConfig, TrainConfig
from mipnerf.pixels import to_rgb
from mipnerf.training.batching import RayBatcher
from mipnerf.training.optimization import loss_mask


def pixel_table(scene):
    """Every pixel's ray direction, origin and colour, by a loop over views."""
    cameras = Cameras.from_scene(scene)
    rows = []
    for view, image in enumerate(scene.images):
        rays = image_rays(cameras, view, *image.shape[:2])
        rows.append(
            torch.cat([rays.directions, rays.origins, rays.radii, to_rgb(torch.tensor(image), True).view(-1, 3)], 1)
        )
    return torch.cat(rows)


@pytest.fixture
def partly_transparent_scene(small_scene):
    """The left quarter of every image is opaque, the rest transparent."""
    images = [image.copy() for image in small_scene.images]
    for image in images:
        image[..., 3] = np.where(np.arange(image.shape[1]) < image.shape[1] // 4, 255, 0)
    return replace(small_scene, images=images)


@pytest.mark.parametrize("batching", ["all_images", "single_image", "all_levels"])
def test_every_ray_has_the_colour_of_its_pixel(small_scene, batching):
    table = pixel_table(small_scene)
    batcher = RayBatcher(small_scene, 64, DataConfig(batching=batching))
    for _ in range(4):
        batch = next(batcher)
        drawn = torch.cat([batch.rays.directions, batch.rays.origins, batch.rays.radii, batch.pixels], 1)
        distance = torch.cdist(drawn, table, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
        assert distance.max() < 1e-5


def test_all_images_draws_all_pixels_alike(small_scene):
    batcher = RayBatcher(small_scene, 4096, seed=3)
    lossmult = torch.cat([next(batcher).rays.lossmult for _ in range(20)])
    # Two levels of 64 and 16 pixels a view.
    assert abs((lossmult == 1).float().mean() - 0.8) < 0.01
    counts = torch.bincount(torch.cat([batcher._draw()[0] for _ in range(20)]), minlength=240)
    assert counts.min() > 0.75 * counts.float().mean()
    assert counts.max() < 1.25 * counts.float().mean()


def test_single_image_draws_from_one_view(small_scene):
    batcher = RayBatcher(small_scene, 16, DataConfig(batching="single_image"))
    views = {int(view.unique()) for _, view in (batcher._draw() for _ in range(60))}
    assert views == set(range(small_scene.num_views))


def test_all_levels_draws_every_level_as_often(small_scene):
    batcher = RayBatcher(small_scene, 4096, DataConfig(batching="all_levels"))
    lossmult = torch.cat([next(batcher).rays.lossmult for _ in range(20)])
    assert abs((lossmult == 1).float().mean() - 0.5) < 0.01


@pytest.mark.parametrize("ignore_area", [False, True])
@pytest.mark.parametrize(
    "changes", [{"batching": "all_levels"}, {"foreground_tries": 3}, {"batching": "all_levels", "foreground_tries": 2}]
)
def test_draws_that_are_not_uniform_expect_the_loss_of_those_that_are(partly_transparent_scene, changes, ignore_area):
    """Any function of the pixels will do for a loss."""
    means = []
    for data in (DataConfig(), DataConfig(**changes)):
        batcher = RayBatcher(partly_transparent_scene, 4096, data)
        total, weight = 0.0, 0.0
        for _ in range(40):
            batch = next(batcher)
            mask = loss_mask(batch.rays.lossmult, TrainConfig(disable_multiscale_loss=ignore_area), batch.importance)
            total += (mask * batch.pixels[:, :1] ** 2).sum().item()
            weight += mask.sum().item()
        means.append(total / weight)
    assert means[0] == pytest.approx(means[1], rel=0.01)


@pytest.mark.parametrize("batching", ["all_images", "single_image", "all_levels"])
def test_transparent_pixels_are_drawn_anew_as_often_as_asked_for(partly_transparent_scene, batching):
    """Three of four pixels are transparent, so three tries find such pixels alone in 27 of 64 cases."""
    batcher = RayBatcher(partly_transparent_scene, 4096, DataConfig(batching=batching, foreground_tries=3))
    transparent = torch.cat([batcher.colors[batcher._draw()[0], 3] == 0 for _ in range(20)])
    assert abs(transparent.float().mean() - 27 / 64) < 0.01


def test_tries_change_nothing_where_no_pixel_is_transparent(small_scene):
    scene = replace(small_scene, images=[image[..., :3] for image in small_scene.images])
    batch, expected = (next(RayBatcher(scene, 64, DataConfig(foreground_tries=tries))) for tries in (4, 1))
    assert len(batch.pixels) == 64
    assert torch.equal(batch.importance, expected.importance)


def test_with_area_weights_all_draws_of_all_levels_weigh_the_same(small_scene):
    batch = next(RayBatcher(small_scene, 256, DataConfig(batching="all_levels")))
    mask = loss_mask(batch.rays.lossmult, TrainConfig(), batch.importance)
    torch.testing.assert_close(mask, mask[:1].expand_as(mask))


def test_single_image_reaches_every_pixel_of_its_view(small_scene):
    scene = small_scene.select([0])
    index = torch.cat([RayBatcher(scene, 2000, DataConfig(batching="single_image"))._draw()[0]])
    assert index.unique().tolist() == list(range(64))


def test_the_generator_decides_the_batches(small_scene):
    first, second, other = (RayBatcher(small_scene, 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(next(first).pixels, next(second).pixels)
    assert not torch.equal(next(first).pixels, next(other).pixels)


def test_memory_is_the_pixels_and_never_a_ray(small_scene):
    batcher = RayBatcher(small_scene, 8)
    assert batcher.colors.dtype == torch.uint8
    assert batcher.colors.numel() == 4 * small_scene.num_pixels


def test_white_background_is_blended_with_straight_alpha():
    colors = torch.tensor([[255, 0, 51, 255], [255, 0, 51, 0], [255, 0, 51, 102]], dtype=torch.uint8)
    expected = torch.tensor([[1, 0, 0.2], [1, 1, 1], [1, 0.6, 0.68]])
    torch.testing.assert_close(to_rgb(colors, True), expected)
    torch.testing.assert_close(to_rgb(colors, False), expected[:1].expand(3, 3))


def test_images_without_alpha_are_taken_as_they_are(small_scene):
    scene = replace(small_scene, images=[np.ascontiguousarray(image[..., :3]) for image in small_scene.images])
    batch = next(RayBatcher(scene, 8))
    assert batch.pixels.shape == (8, 3)
