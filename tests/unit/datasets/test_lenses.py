"""Lenses, against COLMAP's own forward and backward models and by properties."""

import numpy as np
import pycolmap
import pytest
import torch
from capture_files import Toy, make_toy, transforms_of, write_colmap, write_images, write_json
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import DataConfig
from mipnerf.datasets.captures.lenses import MODELS, lens_of_keys, lens_of_model, reached_pixels
from mipnerf.datasets.lens import Coefficients, Lens, distort, rays_through, seen_through, undistort
from mipnerf.datasets.load import load_scene

WIDTH, HEIGHT = 80, 60
INTRINSICS = (46.0, 44.0, 41.0, 29.0)
DISTORTIONS = {
    "SIMPLE_PINHOLE": [],
    "PINHOLE": [],
    "SIMPLE_RADIAL": [-0.12],
    "RADIAL": [-0.2, 0.05],
    "OPENCV": [-0.25, 0.06, 0.002, -0.003],
    "OPENCV_FISHEYE": [-0.03, 0.01, -0.002, 0.0005],
    "FULL_OPENCV": [0.3, -0.1, 0.001, 0.002, 0.02, 0.5, 0.1, 0.01],
    "FOV": [0.9],
    "SIMPLE_RADIAL_FISHEYE": [-0.05],
    "RADIAL_FISHEYE": [-0.05, 0.01],
    "THIN_PRISM_FISHEYE": [-0.05, 0.01, 0.001, -0.002, 0.001, 0.0003, 0.002, -0.001],
}
# The names under which transforms.json has the coefficients after k1, k2, ... of COLMAP.
STATED = {"FULL_OPENCV": "k1 k2 p1 p2 k3 k4 k5 k6", "THIN_PRISM_FISHEYE": "k1 k2 p1 p2 k3 k4 sx1 sy1"}
DATA = DataConfig(llffhold=2, normalize=False, near=1, far=5)


def params_of(model: str, intrinsics=INTRINSICS) -> list[float]:
    fx, fy, cx, cy = intrinsics
    return [fx, cx, cy] if MODELS[model].startswith("f ") else [fx, fy, cx, cy]


def colmap_camera(model: str, size=(WIDTH, HEIGHT), intrinsics=INTRINSICS) -> pycolmap.Camera:
    params = params_of(model, intrinsics) + DISTORTIONS[model]
    return pycolmap.Camera(model=model, width=size[0], height=size[1], params=params)


def whole_image(step: float = 0.5) -> np.ndarray:
    """[N, 2]: x and y from corner to corner."""
    grid = np.meshgrid(np.arange(0, WIDTH + step, step), np.arange(0, HEIGHT + step, step))
    return np.stack(grid, axis=-1).reshape(-1, 2)


def plane_of(intrinsics: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """[N, 3]: as `pix2cams` have it."""
    fx, fy, cx, cy = intrinsics
    return np.stack([(pixels[:, 0] - cx) / fx, (cy - pixels[:, 1]) / fy, -np.ones(len(pixels))], axis=-1)


def test_all_models_are_here():
    assert DISTORTIONS.keys() == MODELS.keys() - {"SIMPLE_FISHEYE", "FISHEYE"}


@pytest.mark.parametrize("model", DISTORTIONS)
def test_rays_are_those_of_colmap_all_over_the_image(model):
    intrinsics, lens = lens_of_model(model, params_of(model) + DISTORTIONS[model], "here")
    pixels = whole_image()
    expected = colmap_camera(model).cam_from_img(pixels)
    rays = rays_through([lens], plane_of(intrinsics, pixels)[None])[0] * [1, -1, -1]
    inside = reached_pixels(lens, intrinsics - [0, 0, 0.5, 0.5], (2 * WIDTH, 2 * HEIGHT))  # as lenient as can be
    corners = np.linalg.norm(rays[:, :2], axis=-1) < lens.limit
    assert inside is None or corners.mean() > 0.6
    is_known = np.isfinite(expected).all(axis=-1) & corners & (rays[:, 2] > 0.05)
    if model != "FULL_OPENCV":  # whose distortion folds over in the corners
        assert is_known.mean() > 0.9
    np.testing.assert_allclose((rays[:, :2] / rays[:, 2:])[is_known], expected[is_known], atol=1e-6)


@pytest.mark.parametrize("model", DISTORTIONS)
@pytest.mark.parametrize("layout", ["colmap", "transforms"])
def test_the_cones_of_a_loaded_capture_hit_their_pixels(model, layout, tmp_path):
    """Points on the rays, projected by COLMAP, are the middles of the pixels; radii fit the neighbours."""
    toy = make_toy(views=4, width=WIDTH, height=HEIGHT)
    fx, _, cx, cy = INTRINSICS
    intrinsics = (fx, fx, cx, cy) if MODELS[model].startswith("f ") else INTRINSICS
    toy = Toy(toy.names, toy.camtoworlds, intrinsics, toy.size, toy.images, distortion=DISTORTIONS[model])
    folder = write_images(toy, tmp_path / "desk")
    if layout == "colmap":
        write_colmap(toy, folder, model=model)
    else:
        words = STATED.get(model, " ".join(MODELS[model].split()[len(params_of(model)) :])).split()
        stated = dict(zip(words, DISTORTIONS[model], strict=True))
        write_json(folder, transforms_of(toy) | {"camera_model": model} | stated)
    scene = load_scene(folder, "train", 2, DATA)
    cameras = Cameras.from_scene(scene)
    camera = colmap_camera(model, intrinsics=intrinsics)
    for view in (0, 1):
        height, width = scene.images[view].shape[:2]
        box = 2 ** int(scene.levels[view])
        rays = image_rays(cameras, view, height, width)
        mask = np.ones((height, width), bool) if scene.masks is None else scene.masks[view]
        mask = mask.ravel() & (rays.directions @ -cameras_axis(scene, view) > 0.05).numpy()
        assert mask.mean() > (0.5 if model == "FULL_OPENCV" else 0.85)
        assert torch.isfinite(rays.directions).all()
        assert torch.isfinite(rays.radii).all()
        points = (rays.origins + 3 * rays.directions).double().numpy()
        pose = scene.camtoworlds[view]
        local = (points - pose[:, 3]) @ pose[:, :3] * [1, -1, -1]
        pixels = camera.img_from_cam(local[mask])
        y, x = np.divmod(np.flatnonzero(mask), width)
        np.testing.assert_allclose(pixels, box * (np.stack([x, y], -1) + 0.5), atol=0.01)
        directions = rays.directions.view(height, width, 3).double()
        across = (directions[1:-1, 2:] - directions[1:-1, :-2]).norm(dim=-1) / 2
        down = (directions[2:, 1:-1] - directions[:-2, 1:-1]).norm(dim=-1) / 2
        inner = torch.as_tensor(mask.reshape(height, width)[1:-1, 1:-1])
        # Without a lens, the reference's rule: that of the rows.
        expected = (2 * down if scene.lenses is None else down + across) / 12**0.5
        found = rays.radii.view(height, width)[1:-1, 1:-1].double()
        whole = inner & torch.as_tensor(surrounded(mask.reshape(height, width)))
        whole &= found < 1.6 * found[whole].median()  # close to a fold, one pixel is far from the next
        assert whole.double().mean() > 0.4
        torch.testing.assert_close(found[whole], expected[whole], rtol=0.05, atol=0)


def cameras_axis(scene, view) -> torch.Tensor:
    return torch.as_tensor(scene.camtoworlds[view, :, 2], dtype=torch.float32)


def surrounded(mask: np.ndarray) -> np.ndarray:
    """Which of the inner pixels have all four neighbours."""
    return mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]


coefficients = st.floats(-0.15, 0.15)


@given(
    lens=st.builds(
        Lens,
        k1=coefficients,
        k2=coefficients,
        k3=st.floats(-0.02, 0.02),
        q1=coefficients,
        p1=st.floats(-0.01, 0.01),
        p2=st.floats(-0.01, 0.01),
        s1=st.floats(-0.01, 0.01),
        is_bending=st.booleans(),
    ),
    angle=st.floats(0, 6.28),
    share=st.floats(0, 0.7),
)
def test_undistorting_inverts_distorting(lens, angle, share):
    radius = share * min(lens.limit, 1)
    row = Coefficients(*lens.row())
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    x, y, (xu, xv, yu, yv) = distort(row, u, v)
    if xu * yv - xv * yu < 0.05:  # as good as folded by the tangential part
        return
    found_u, found_v, _ = undistort(row, x, y)
    np.testing.assert_allclose([found_u, found_v], [u, v], atol=1e-7)


strong = st.floats(-2, 2)
EXTREME = {  # a pole close by, a fold close by, both, and one that hardly grows for a while
    "pole": [0.6, 1.6, 0, 0, 0.3, 1.3, 0.2, -0.05],
    "pole within": [1.4, 1.6, 0, 0, 0.9, -1.7, 0.8, 0.2],
    "fold": [0.8, -0.05, 0, 0, 0, 0, 0, 0],
    "tangential": [1.1, 0.8, -0.006, 0.007, 0, -0.4, 1.4, 0],
    "plateau": [-0.9, 0.45, 0, 0, 0, 0, 0, 0],
}


@given(
    lens=st.builds(Lens, k1=strong, k2=strong, k3=strong, q1=strong, q2=strong, q3=strong, is_bending=st.booleans()),
    angle=st.floats(0, 6.28),
    share=st.floats(0, 0.99),
)
def test_poles_and_folds_do_not_lead_astray(lens, angle, share):
    radius = share * min(lens.limit, 3)
    row = Coefficients(*lens.row())
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    x, y, (xu, xv, yu, yv) = distort(row, u, v)
    if xu * yv - xv * yu < 1e-3 or (radius and (radius / np.hypot(x, y) > 1e3 or np.hypot(x, y) / radius > 1e6)):
        return  # a point of the image is of a wide range of the plane, or the other way round
    found_u, found_v, _ = undistort(row, x, y)
    np.testing.assert_allclose([found_u, found_v], [u, v], atol=1e-6)


@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rays_of_extreme_lenses_are_those_that_colmap_brings_there(name, dtype):
    params = [50.0, 50.0, 0.0, 0.0, *EXTREME[name]]
    _, lens = lens_of_model("FULL_OPENCV", params, "here")
    radii, angles = np.meshgrid(np.linspace(0.001, 0.95, 40) * min(lens.limit, 2), np.linspace(0, 6, 25))
    plane = np.stack([(radii * np.cos(angles)).ravel(), (radii * np.sin(angles)).ravel()], axis=-1)
    camera = pycolmap.Camera(model="FULL_OPENCV", width=1, height=1, params=params)
    pixels = camera.img_from_cam(np.pad(plane, ((0, 0), (0, 1)), constant_values=1.0)) / 50
    x, y = torch.as_tensor(pixels.T, dtype=dtype)
    row = Coefficients(*torch.as_tensor(lens.row(), dtype=dtype))
    found = torch.stack(undistort(row, x, y)[:2], dim=-1).double().numpy()
    np.testing.assert_allclose(found, plane, rtol=0, atol=1e-7 if dtype == torch.float64 else 1e-3)


def test_derivatives_are_those_of_differences():
    lens = Coefficients(*Lens(0.1, -0.2, 0.03, 0.01, 0.2, 0.1, 0.01, 0.02, -0.01, 0.01, 0.02).row())
    u, v, step = 0.4, -0.3, 1e-6
    _, _, found = distort(lens, u, v)
    by_u = (np.array(distort(lens, u + step, v)[:2]) - distort(lens, u - step, v)[:2]) / (2 * step)
    by_v = (np.array(distort(lens, u, v + step)[:2]) - distort(lens, u, v - step)[:2]) / (2 * step)
    np.testing.assert_allclose(found, [by_u[0], by_v[0], by_u[1], by_v[1]], rtol=1e-6)


@pytest.mark.parametrize("model", DISTORTIONS)
def test_points_are_seen_where_colmap_sees_them(model):
    intrinsics, lens = lens_of_model(model, params_of(model) + DISTORTIONS[model], "here")
    fx, fy, cx, cy = intrinsics
    points = np.random.default_rng(2).uniform([-1, -1, 0.8], [1, 1, 3], (50, 3))
    local = seen_through(lens, points * [1, -1, -1])
    pixels = np.stack([fx * local[:, 0] / -local[:, 2] + cx, cy - fy * local[:, 1] / -local[:, 2]], axis=-1)
    is_seen = np.isfinite(pixels).all(axis=-1)
    assert is_seen.mean() > 0.6
    np.testing.assert_allclose(pixels[is_seen], colmap_camera(model).img_from_cam(points)[is_seen], atol=1e-9)
    depth = np.linalg.norm(points, axis=-1) if lens.is_bending else points[:, 2]
    np.testing.assert_allclose(-local[is_seen, 2], depth[is_seen])


def test_pixels_beyond_a_fold_and_outside_of_the_circle_are_not_reached():
    folded = Lens(k1=-0.3)
    mask = reached_pixels(folded, np.array([40.0, 40, 40, 40]), (80, 80))
    # x (1 - 0.3 x²) is largest at 1 / sqrt(0.9), where it is 2/3 of that.
    y, x = (np.indices((80, 80)) + 0.5 - 40) / 40
    np.testing.assert_array_equal(mask, np.hypot(x, y) < 2 / 3 / 0.9**0.5)
    circle = reached_pixels(Lens(is_bending=True), np.array([10.0, 10, 40, 40]), (80, 80))
    y, x = (np.indices((80, 80)) + 0.5 - 40) / 10
    np.testing.assert_array_equal(circle, np.hypot(x, y) < np.pi)
    assert reached_pixels(Lens(k1=-0.05), np.array([40.0, 40, 40, 40]), (80, 80)) is None


def test_what_no_ray_reaches_does_not_count(tmp_path):
    toy = make_toy(views=4, width=40, height=40)
    folder = write_images(toy, tmp_path / "desk")
    content = transforms_of(toy) | {"fl_x": 20, "fl_y": 20, "cx": 20, "cy": 20, "k1": -0.3}
    scene = load_scene(write_json(folder, content), "train", 2, DATA)
    assert not scene.masks[0][0, 0]
    assert scene.masks[0][20, 20]
    assert scene.masks[1].shape == (20, 20)
    np.testing.assert_array_equal(scene.masks[1], scene.masks[0].reshape(20, 2, 20, 2).all(axis=(1, 3)))


def test_a_lens_without_an_effect_is_a_pinhole_to_the_bit(tmp_path):
    toy = make_toy(views=4)
    folder = write_images(toy, tmp_path / "desk")
    plain = load_scene(write_json(folder, transforms_of(toy)), "train", 2, DATA)
    content = transforms_of(toy) | {"camera_model": "OPENCV", "k1": 1e-8, "p2": 0}
    same = load_scene(write_json(folder, content), "train", 2, DATA)
    assert same.lenses is None
    assert same.masks is None
    assert same.fingerprint() == plain.fingerprint()
    content = transforms_of(toy) | {"k1": 0.01}
    other = load_scene(write_json(folder, content), "train", 2, DATA)
    assert other.lenses == [Lens(k1=0.01)] * other.num_views
    assert other.fingerprint() != plain.fingerprint()


def test_a_weak_lens_has_nearly_the_cones_of_a_pinhole(tmp_path):
    toy = make_toy(views=4)
    toy.intrinsics = (30.0, 30.0, 11.0, 6.5)
    folder = write_images(toy, tmp_path / "desk")
    cameras = [
        Cameras.from_scene(load_scene(write_json(folder, transforms_of(toy) | {"k1": k1}), "train", 1, DATA))
        for k1 in (0, 2e-6)
    ]
    assert [camera.lenses is None for camera in cameras] == [True, False]
    for pinhole, lens in zip(*(vars(image_rays(camera, 1, 13, 22)).values() for camera in cameras), strict=True):
        torch.testing.assert_close(lens, pinhole, rtol=1e-5, atol=1e-5)


def test_coefficients_of_a_frame_and_of_the_rational_model():
    assert lens_of_keys({"k1": 0.1, "k3": 0.2, "k4": 0.3}, "") == Lens(k1=0.1, k3=0.2, k4=0.3)
    assert lens_of_keys({"k1": 0.1, "k4": 0.3, "k6": 0.5}, "") == Lens(k1=0.1, q1=0.3, q3=0.5)
    assert lens_of_keys({"is_fisheye": True, "k1": 0.1, "p1": 0}, "") == Lens(k1=0.1, is_bending=True)
    assert lens_of_keys({"camera_model": "FOV", "omega": 0.0}, "") == Lens()
    assert lens_of_keys({"camera_model": "opencv"}, "").is_pinhole


def test_a_palette_of_masks_is_read_where_colmap_and_nerfstudio_have_them(tmp_path):
    toy = make_toy(views=4, width=8, height=8)
    folder = write_images(toy, tmp_path / "desk")
    (folder / "masks/images").mkdir(parents=True)
    mask = np.full((8, 8), 255, np.uint8)
    mask[:, :3] = 0
    Image.fromarray(mask).save(folder / "masks/001.png")  # of images/001.png
    Image.fromarray(mask[:, ::-1] // 255).save(folder / "masks/images/003.png.png")
    write_json(folder, transforms_of(toy))
    scene = load_scene(folder, "train", 2, DATA)
    np.testing.assert_array_equal(scene.masks[0], mask > 0)
    np.testing.assert_array_equal(scene.masks[2], mask[:, ::-1] > 0)
    # Of two columns together, both have to count.
    assert scene.masks[1].tolist() == [[False, False, True, True]] * 4
    assert scene.masked_share() == pytest.approx((24 + 8) / (64 + 16))
