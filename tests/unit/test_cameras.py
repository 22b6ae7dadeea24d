import numpy as np
import torch

from mipnerf.batching import image_rays
from mipnerf.cameras import Cameras


def test_rays_go_through_pixel_centres(small_scene):
    cameras = Cameras.from_scene(small_scene)
    for view in range(small_scene.num_views):
        height, width = small_scene.heights[view], small_scene.widths[view]
        rays = image_rays(cameras, view, height, width)
        pose, pix2cam = small_scene.camtoworlds[view], small_scene.pix2cams[view]
        for index in range(height * width):
            y, x = divmod(index, width)
            direction = pose[:, :3] @ (pix2cam @ np.array([x + 0.5, y + 0.5, 1.0]))
            np.testing.assert_allclose(rays.directions[index], direction, atol=1e-6)
            np.testing.assert_allclose(rays.origins[index], pose[:, 3], atol=1e-6)


def test_viewdirs_have_unit_length(small_scene):
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    torch.testing.assert_close(torch.linalg.norm(rays.viewdirs, dim=-1), torch.ones(64))


def test_radius_is_the_distance_of_neighbouring_rows(small_scene):
    cameras = Cameras.from_scene(small_scene)
    rays = image_rays(cameras, 0, 8, 8)
    rows = rays.directions.view(8, 8, 3)
    distance = torch.linalg.norm(rows[1:] - rows[:-1], dim=-1)
    torch.testing.assert_close(rays.radii.view(8, 8)[:-1], distance * 2 / 12**0.5)


def test_radius_doubles_with_each_level(small_scene):
    radii = Cameras.from_scene(small_scene).radii
    torch.testing.assert_close(radii[1::2], 2 * radii[::2])


def test_rays_can_be_sliced(small_scene):
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    part = rays[10:13]
    assert len(part) == 3
    torch.testing.assert_close(part.directions, rays.directions[10:13])
    torch.testing.assert_close(part.far, rays.far[10:13])
