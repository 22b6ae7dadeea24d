"""The embedded dataset: its bytes, its layout, and the ray tracer against a second, slow implementation."""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from mipnerf.datasets import bricks, raytrace
from mipnerf.datasets.raytrace import CYLINDER, Sunlight
from mipnerf.errors import ConfigError, DataError

SMALL = {"size": 32, "num_train": 3, "num_val": 1, "num_test": 2, "samples": 2}


# Change these only together with the scene: every user's `bricks` changes with them.
FILES_SHA256 = "1e09f6e544b02e6eaec818329a02d08c2c5c51603176d9f61f210fe74a671dbc"


PIXELS_SHA256 = "3ad4d50871b33df5d4d097250923cf89b235dd408a0fb98a1661664622613cd7"


NAMES = [f"train/r_{i}" for i in range(3)] + ["val/r_0"] + [f"test/r_{i}" for i in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("bricks") / "scene"
    bricks.render_bricks(target, **SMALL, workers=1)
    return target


@pytest.fixture(scope="module")
def scene():
    return bricks.build_scene()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digest_of_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(contents(folder).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()


def images(folder: Path) -> np.ndarray:
    return np.stack([imageio.imread(folder / f"{name}.png") for name in NAMES])


def test_the_bytes_of_all_files_are_pinned(folder):
    assert digest_of_files(folder) == FILES_SHA256


def test_the_pixels_are_pinned(folder):
    assert hashlib.sha256(images(folder).tobytes()).hexdigest() == PIXELS_SHA256


def dispatched_cpu_features() -> list[str]:
    """The SIMD levels that this numpy chooses between at run time, and has chosen here."""
    try:
        from numpy._core import _multiarray_umath as umath
    except ImportError:  # numpy 1
        from numpy.core import _multiarray_umath as umath
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]


def test_the_bytes_do_not_depend_on_the_simd_instructions_of_the_cpu(tmp_path):
    features = dispatched_cpu_features()
    if not features:
        pytest.skip("numpy has only its baseline instructions here")
    code = f"""
import sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from mipnerf.datasets.bricks import render_bricks
from test_bricks import dispatched_cpu_features
assert not dispatched_cpu_features()
render_bricks(Path(sys.argv[1]), **{SMALL!r}, workers=1)
"""
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "scene"], env=environment, check=True)
    assert digest_of_files(tmp_path / "scene") == FILES_SHA256


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    bricks.render_bricks(tmp_path / "scene", **SMALL, workers=2)
    assert digest_of_files(tmp_path / "scene") == FILES_SHA256


def test_no_pixel_depends_on_the_tiles(scene, monkeypatch):
    pose, sunlight = bricks.camera_poses("test", 5)[1], Sunlight(scene)
    expected = raytrace.render(scene, sunlight, pose, bricks.TAN_HALF_ANGLE, 20, 2)
    monkeypatch.setattr(raytrace, "TILE", 20)
    np.testing.assert_array_equal(raytrace.render(scene, sunlight, pose, bricks.TAN_HALF_ANGLE, 20, 2), expected)


def test_the_files_are_those_of_a_blender_scene_and_a_manifest_of_them(folder):
    files = contents(folder)
    transforms = [f"transforms_{split}.json" for split in ("train", "val", "test")]
    assert sorted(files) == sorted([*transforms, "manifest.json", *(f"{name}.png" for name in NAMES)])
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["source"] == "bricks"
    assert manifest["files"] == [
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    ]


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("val", 1), ("test", 2)])
def test_transforms_have_the_official_keys_and_name_existing_images(folder, split, count):
    content = json.loads((folder / f"transforms_{split}.json").read_text())
    assert set(content) == {"camera_angle_x", "frames"}
    assert content["camera_angle_x"] == 0.6911112070083618
    assert [frame["file_path"] for frame in content["frames"]] == [f"./{split}/r_{i}" for i in range(count)]
    for frame, pose in zip(content["frames"], bricks.camera_poses(split, count), strict=True):
        assert set(frame) == {"file_path", "rotation", "transform_matrix"}
        np.testing.assert_array_equal(frame["transform_matrix"], pose)
        image = imageio.imread(folder / f"{frame['file_path']}.png")
        assert image.shape == (32, 32, 4)
        assert image.dtype == np.uint8


def test_the_field_of_view_of_the_rays_is_the_one_of_the_file():
    assert pytest.approx(math.tan(bricks.CAMERA_ANGLE_X / 2), rel=1e-15) == bricks.TAN_HALF_ANGLE


@pytest.mark.parametrize(("split", "count"), [("train", 60), ("val", 4), ("test", 12)])
def test_cameras_look_at_the_origin_from_the_upper_hemisphere(split, count):
    poses = np.stack(bricks.camera_poses(split, count))
    rotations, positions = poses[:, :3, :3], poses[:, :3, 3]
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(1, 2), np.broadcast_to(np.eye(3), (count, 3, 3)), atol=4e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=4e-9)
    np.testing.assert_allclose(positions, 4.031128874 * rotations[:, :, 2], atol=1e-8)  # the view is along -z
    np.testing.assert_array_equal(poses[:, 3], np.broadcast_to([0, 0, 0, 1], (count, 4)))
    assert (rotations[:, 2, 0] == 0).all()  # the horizon is level
    assert (rotations[:, 2, 1] > 0).all()  # and world +z is up
    elevation = np.degrees(np.arcsin(rotations[:, 2, 2]))
    assert elevation.min() >= 5
    assert elevation.max() <= 80


def test_training_views_are_spread_and_differ_from_the_others():
    directions = {split: np.stack(bricks.camera_poses(split, 60))[:, :3, 2] for split in ("train", "val", "test")}
    cosines = directions["train"] @ directions["train"].T - 2 * np.eye(60)
    assert np.degrees(np.arccos(cosines.max())) > 4  # no two views coincide
    # From anywhere above, a training view is near.
    for other in ("val", "test"):
        nearest = np.degrees(np.arccos((directions[other] @ directions["train"].T).max(axis=1)))
        assert nearest.max() < 20
        assert nearest.min() > 0.01


def test_the_test_orbit_goes_around_once_with_varying_elevation():
    back = np.stack(bricks.camera_poses("test", 12))[:, :3, 2]
    azimuth = np.degrees(np.arctan2(back[:, 1], back[:, 0])) % 360
    np.testing.assert_allclose(azimuth, np.arange(12) * 30, atol=1e-6)
    assert np.ptp(np.degrees(np.arcsin(back[:, 2]))) > 30


def test_images_have_opaque_transparent_and_partly_covered_pixels_and_are_colourful(folder):
    for image in images(folder):
        rgb, alpha = image[..., :3], image[..., 3]
        covered = alpha > 0
        assert 0.15 < covered.mean() < 0.7
        assert (alpha == 255).mean() > 0.1
        assert ((alpha > 0) & (alpha < 255)).mean() > 0.02
        assert (rgb[~covered] == 0).all()
        assert np.ptp(rgb[covered], axis=1).max() > 150  # saturated
        assert rgb[covered].std(axis=0).min() > 25


def test_alpha_is_straight(folder):
    """Edges are no darker than surfaces: with premultiplied colours the faintest pixels would be almost black."""
    pixels = images(folder).reshape(-1, 4)
    faint = pixels[(pixels[:, 3] > 0) & (pixels[:, 3] <= 64)]
    assert len(faint) > 50
    assert faint[:, :3].max(axis=1).mean() > 100


def test_a_coarse_image_is_the_mean_of_the_fine_one(scene):
    """With the same rays: half the size and twice the samples."""
    pose, sunlight = bricks.camera_poses("train", 2)[1], Sunlight(scene)
    fine = raytrace.render(scene, sunlight, pose, bricks.TAN_HALF_ANGLE, 48, 2) / 255
    coarse = raytrace.render(scene, sunlight, pose, bricks.TAN_HALF_ANGLE, 24, 4) / 255
    for image in (fine, coarse):
        image[..., :3] *= image[..., 3:]
    mean = fine.reshape(24, 2, 24, 2, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(mean, coarse, atol=1.5 / 255)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_near_and_far_of_the_blender_scenes_hold_the_object_and_the_frame_does(scene, split):
    """The ray parameter of directions of depth 1, as models see it, is within (2, 6) from all default cameras."""
    corners = raytrace._corners(scene).reshape(3, -1)
    assert np.abs(corners).max() <= 1.3
    counts = {"train": 60, "val": 4, "test": 12}
    for pose in bricks.camera_poses(split, counts[split]):
        right, up, back = pose[:3, :3].T @ (corners - pose[:3, 3:])
        assert (-back).min() > 2
        assert (-back).max() < 6
        assert np.abs(np.stack([right, up]) / back).max() < bricks.TAN_HALF_ANGLE


def test_eighth_resolution_has_poles_far_below_a_pixel(scene):
    """The scene is there to show aliasing: many solids are thinner than half a pixel of a 16 x 16 image."""
    pixel = 2 * bricks.TAN_HALF_ANGLE * bricks.CAMERA_DISTANCE / 16
    assert (2 * scene["radius"][scene["kind"] == CYLINDER] < 0.5 * pixel).sum() > 100


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 0), ("size", 2.5), ("num_train", 0), ("num_val", -1), ("num_test", 0), ("samples", 0), ("workers", 0)],
)
def test_impossible_numbers_are_refused_by_name_before_anything_is_written(tmp_path, name, value):
    with pytest.raises(ConfigError, match=rf"{name} is {value}; give a whole number of at least 1"):
        bricks.render_bricks(tmp_path / "scene", **{name: value})
    assert not list(tmp_path.iterdir())


def run_script(*arguments) -> subprocess.CompletedProcess:
    script = Path(__file__).parents[3] / "workflow_scripts" / "bricks.py"
    return subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True)


def test_the_script_makes_the_dataset(tmp_path):
    counts = ["--size", 32, "--train", 3, "--val", 1, "--test", 2, "--samples", 2]
    done = run_script("--output", tmp_path / "scene", *counts, "--threads", "1/2", "--log", tmp_path / "log")
    assert done.returncode == 0, done.stderr
    assert digest_of_files(tmp_path / "scene") == FILES_SHA256
    assert (tmp_path / "log").exists()


def test_the_script_reports_a_mistake_as_one_message(tmp_path):
    done = run_script("--output", tmp_path / "scene", "--size", 0)
    assert done.returncode == 1
    assert done.stderr == "ConfigError: bricks: size is 0; give a whole number of at least 1.\n"


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(DataError, match="would be replaced, but holds no scene"):
        bricks.render_bricks(tmp_path / "photos", size=8, num_train=1, num_val=1, num_test=1, samples=1, workers=1)
    assert (tmp_path / "photos" / "holiday.jpg").exists()
