from dataclasses import replace

import numpy as np
import pytest
import torch

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import DataConfig
from mipnerf.datasets.scene import Scene, pinhole_pix2cam, pix2cam_matrix


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


def whole_image(cameras, view, height, width):
    """Rays of a view as images: field -> [height, width, ...]."""
    rays = image_rays(cameras, view, height, width)
    return {name: values.reshape(height, width, -1).double().numpy() for name, values in vars(rays).items()}


def test_without_pixel_centres_rays_go_through_corners(small_scene):
    corners = Cameras.from_scene(small_scene, data=DataConfig(use_pixel_centers=False))
    directions = whole_image(corners, 2, 8, 8)["directions"]
    matrix = small_scene.camtoworlds[2, :, :3] @ small_scene.pix2cams[2]
    for y, x in ((0, 0), (3, 5), (7, 7)):
        np.testing.assert_allclose(directions[y, x], matrix @ [x, y, 1], atol=1e-6)
    torch.testing.assert_close(corners.radii, Cameras.from_scene(small_scene).radii)


@pytest.mark.parametrize("use_pixel_centers", [True, False])
def test_finer_pixels_are_those_of_full_resolution(small_scene, use_pixel_centers):
    cameras = Cameras.from_scene(small_scene, data=DataConfig(use_pixel_centers=use_pixel_centers))
    full, finer = whole_image(cameras, 2, 8, 8), whole_image(cameras.supersampled(2), 3, 8, 8)
    for name in ("origins", "directions", "viewdirs", "radii"):
        np.testing.assert_allclose(finer[name], full[name], atol=1e-6)


@pytest.mark.parametrize("k", [2, 4])
def test_finer_pixels_average_to_the_pixel(small_scene, k):
    cameras = Cameras.from_scene(small_scene)
    finer = cameras.supersampled(k)
    rays, fine = whole_image(cameras, 3, 4, 4), whole_image(finer, 3, 4 * k, 4 * k)
    means = fine["directions"].reshape(4, k, 4, k, 3).mean((1, 3))
    np.testing.assert_allclose(means, rays["directions"], atol=1e-6)
    np.testing.assert_allclose(fine["radii"] * k, rays["radii"].repeat(k, 0).repeat(k, 1), rtol=1e-6)
    for name in ("origins", "lossmult", "near", "far"):
        np.testing.assert_array_equal(fine[name], rays[name].repeat(k, 0).repeat(k, 1))


def test_supersampling_by_one_changes_nothing(small_scene):
    cameras = Cameras.from_scene(small_scene)
    for name, values in vars(cameras.supersampled(1)).items():
        if values is None:
            assert getattr(cameras, name) is None
            continue
        assert torch.equal(torch.as_tensor(values), torch.as_tensor(getattr(cameras, name)))


@pytest.fixture
def forward_scene() -> Scene:
    """Two views towards -z; the image plane of the first has half a column and half a row more than the image."""
    rng = np.random.default_rng(1)
    rotations = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(2, 3, 3)))[0]
    rotations *= np.sign(np.einsum("vii->vi", rotations))[:, None]
    return Scene(
        images=[np.zeros((5, 7, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)],
        camtoworlds=np.concatenate([rotations, rng.uniform(-0.5, 0.5, (2, 3, 1))], axis=2),
        pix2cams=np.stack([pinhole_pix2cam(10, 7.5, 5.5), pinhole_pix2cam(11, 4, 6)]),
        nears=np.zeros(2),
        fars=np.ones(2),
        lossmults=np.ones(2),
        levels=np.zeros(2, dtype=np.int64),
        views=np.arange(2),
        names=["a", "b"],
        ndc=True,
    )


def slow_ndc(scene: Scene, view: int, focal: float, w: float, h: float) -> dict[str, np.ndarray]:
    """Rays of an image in NDC, pixel by pixel in float64, and the differences of neighbours on whole images."""
    height, width = scene.images[view].shape[:2]
    pose = scene.camtoworlds[view]
    origins, directions, viewdirs = np.zeros((3, height, width, 3))
    for y in range(height):
        for x in range(width):
            d = pose[:, :3] @ [(x + 0.5 - w / 2) / focal, -(y + 0.5 - h / 2) / focal, -1]
            o = pose[:, 3] - (1 + pose[2, 3]) / d[2] * d
            origins[y, x] = [-2 * focal / w * o[0] / o[2], -2 * focal / h * o[1] / o[2], 1 + 2 / o[2]]
            directions[y, x, :2] = -2 * focal * (d[:2] / d[2] - o[:2] / o[2]) / [w, h]
            directions[y, x, 2] = -2 / o[2]
            viewdirs[y, x] = d
    down = np.linalg.norm(np.diff(origins, axis=0), axis=-1)
    across = np.linalg.norm(np.diff(origins, axis=1), axis=-1)
    # The last has the difference before the last.
    down, across = np.vstack([down, down[-2:-1]]), np.hstack([across, across[:, -2:-1]])
    radii = ((down + across) / 2 * 2 / 12**0.5)[..., None]
    return {"origins": origins, "directions": directions, "viewdirs": viewdirs, "radii": radii}


PLANES = [(10, 7.5, 5.5), (11, 4, 6)]


@pytest.mark.parametrize("view", [0, 1])
def test_rays_in_ndc_equal_a_slow_computation(forward_scene, view):
    rays = whole_image(Cameras.from_scene(forward_scene), view, *forward_scene.images[view].shape[:2])
    for name, values in slow_ndc(forward_scene, view, *PLANES[view]).items():
        np.testing.assert_allclose(rays[name], values, atol=2e-6, err_msg=name)
    assert (rays["near"] == 0).all()
    assert (rays["far"] == 1).all()


def test_rays_of_several_views_can_be_cast_together(forward_scene):
    cameras = Cameras.from_scene(forward_scene)
    view, x, y = torch.tensor([[0, 6, 4], [1, 3, 5], [1, 0, 0], [0, 2, 3], [1, 3, 1]]).T
    together = cameras.cast(view, x, y)
    for i in range(len(view)):
        alone = cameras.cast(view[i, None], x[i, None], y[i, None])
        for name, values in vars(alone).items():
            torch.testing.assert_close(getattr(together, name)[i, None], values)


def test_directions_in_ndc_can_have_unit_length(forward_scene):
    cameras = Cameras.from_scene(forward_scene, data=DataConfig(ndc_unit_viewdirs=True))
    viewdirs = whole_image(cameras, 0, 5, 7)["viewdirs"]
    expected = slow_ndc(forward_scene, 0, *PLANES[0])["viewdirs"]
    np.testing.assert_allclose(viewdirs, expected / np.linalg.norm(expected, axis=-1, keepdims=True), atol=1e-6)


def test_finer_pixels_in_ndc_are_those_of_a_finer_image(forward_scene):
    pix2cams = forward_scene.pix2cams / [2, 2, 1]
    finer = replace(forward_scene, images=[np.zeros((10, 14, 3), np.uint8)] * 2, pix2cams=pix2cams).select([0])
    expected = whole_image(Cameras.from_scene(finer), 0, 10, 14)
    actual = whole_image(Cameras.from_scene(forward_scene).supersampled(2), 0, 10, 14)
    for name, values in expected.items():
        np.testing.assert_allclose(actual[name], values, atol=1e-6, err_msg=name)


def test_images_of_one_pixel_have_finite_radii_in_ndc(forward_scene):
    tiny = replace(forward_scene, images=[np.zeros((1, 1, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)])
    for view, size in ((0, 1), (1, 2)):
        radii = whole_image(Cameras.from_scene(tiny), view, size, size)["radii"]
        assert np.isfinite(radii).all()
        assert (radii > 0).all()


def test_resized_images_keep_their_middle_wherever_the_principal_point_is(small_scene):
    pix2cams = np.stack([pix2cam_matrix(9.0 + i, 11.0, 3.0, 2.5 - i) for i in range(small_scene.num_views)])
    cameras = Cameras.from_scene(replace(small_scene, pix2cams=pix2cams))
    scales = torch.tensor([1.0, 0.3, 2.5, 0.5, 1.0, 0.125])
    resized = cameras.resized(scales, torch.tensor([[8, 8], [3, 1], [20, 21], [2, 2], [4, 4], [1, 2]]))
    view = torch.arange(6)

    def through(cameras, across, down):
        """Directions at so many pixels from the middle of the images."""
        middle = torch.cat([0.5 * cameras.sizes + torch.stack([across, down], -1), torch.ones(6, 1)], -1)
        return (cameras.pixel_to_direction @ middle[..., None])[..., 0]

    across, down = torch.linspace(-3, 2, 6), torch.linspace(1, -2, 6)
    torch.testing.assert_close(through(resized, across * scales, down * scales), through(cameras, across, down))
    torch.testing.assert_close(resized.radii * scales, cameras.radii)
    zeros = torch.zeros(6, dtype=torch.long)
    same = cameras.resized(torch.ones(6), cameras.sizes)
    assert torch.equal(same.cast(view, zeros, zeros).directions, cameras.cast(view, zeros, zeros).directions)
