"""Classic mistakes, made on purpose."""

from dataclasses import replace

import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_colmap, write_images, write_json
from inspected_scenes import findings_of, forward, ring
from scene_files import write_llff_scene, write_scene

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.conventions import FLIP, guess_mistake
from mipnerf.datasets.captures.poses import nearest_point
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError
from mipnerf.inspection.images import summarise_split
from mipnerf.inspection.mistakes import MISTAKE_CHECKS


def mistakes(scene):
    return [message for check in MISTAKE_CHECKS for message in check(summarise_split("train", scene))]


def opencv(poses):
    return np.concatenate([poses[:, :, :3] @ FLIP, poses[:, :, 3:]], axis=2)


def inverted(poses):
    turned = poses[:, :, :3].swapaxes(1, 2)
    return np.concatenate([turned, -turned @ poses[:, :, 3:]], axis=2)


def rolled(poses):
    return poses * [-1, -1, 1, 1]


def scaled_principal_point(scene, x, y):
    pix2cams = scene.pix2cams.copy()
    pix2cams[:, 0, 2] *= x
    pix2cams[:, 1, 2] *= y
    return replace(scene, pix2cams=pix2cams)


def zoomed(scene, factor):
    pix2cams = scene.pix2cams.copy()
    pix2cams[:, :2] /= factor
    return replace(scene, pix2cams=pix2cams)


def fading(scene):
    images = scene.images
    shares = np.linspace(1, 0.3, len(images))
    return replace(scene, images=[(i * s).astype(np.uint8) for i, s in zip(images, shares, strict=True)])


def some_rolled(scene):
    poses = scene.camtoworlds.copy()
    poses[6:10] = rolled(poses[6:10])
    return replace(scene, camtoworlds=poses)


MADE = {
    "opencv": (lambda s: replace(s, camtoworlds=opencv(s.camtoworlds)), "negate their second and third column"),
    "inverse": (lambda s: replace(s, camtoworlds=inverted(s.camtoworlds)), "as if they were stored world to camera"),
    "inverse opencv": (
        lambda s: replace(s, camtoworlds=inverted(opencv(s.camtoworlds))),
        "OpenCV's world to camera: invert them, then",
    ),
    "upside down": (lambda s: replace(s, camtoworlds=rolled(s.camtoworlds)), "all cameras are upside down"),
    "some upside down": (some_rolled, "2 of 12 cameras are upside down against the rest (first: view 3)"),
    "another size": (lambda s: scaled_principal_point(s, 2, 2), "as in images 2 times as large"),
    "principal point": (lambda s: scaled_principal_point(s, 2, 1), "100% of the width and 50% of the height, far from"),
    "too narrow": (lambda s: zoomed(s, 12), "the field of view is 3."),
    "too wide": (lambda s: zoomed(s, 1 / 10), "the field of view is 152"),
    "exposure": (fading, "the exposure changed"),
}


@pytest.mark.parametrize("name", MADE)
def test_a_mistake_is_told_with_what_to_do(name):
    make, message = MADE[name]
    found = [finding.message for finding in findings_of(make(ring(12)), ring(4, phase=0.4, seed=1))]
    assert [text for text in found if message in text], found
    assert len([text for text in mistakes(make(ring(12))) if message not in text]) == 0


@pytest.mark.parametrize(
    "scene", [ring(12), ring(3), ring(1), forward(), forward(ndc=False)], ids=["ring", "3", "1", "ndc", "forward"]
)
def test_good_cameras_are_not_suspected(scene):
    assert mistakes(scene) == []


def test_good_captures_are_not_suspected(tmp_path):
    toy = make_toy()
    write_json(write_images(toy, tmp_path / "transforms"), transforms_of(toy))
    write_colmap(toy, write_images(toy, tmp_path / "colmap"))
    write_llff_scene(tmp_path / "llff")
    write_scene(tmp_path / "blender", {"train": 9, "val": 1, "test": 1})
    for name in ("transforms", "colmap", "llff", "blender"):
        assert mistakes(load_scene(tmp_path / name, "train", 1, DataConfig())) == [], name


@pytest.mark.golden
@pytest.mark.parametrize("name", ["beer_360", "beer_ff"])
def test_real_captures_are_not_suspected(golden_dir, name):
    data = DataConfig(factor=8, spherify=name == "beer_360")
    assert mistakes(load_scene(golden_dir / "scenes" / name, "train", 1, data)) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(opencv, "negate their second and third column"), (inverted, "world to camera: invert them, or set data.normal")],
)
def test_a_capture_in_another_convention_is_refused_with_what_to_do(tmp_path, spoil, message):
    toy = make_toy()
    # Around the origin, where poses that are inverted meet in one point.
    poses = toy.camtoworlds.copy()
    poses[:, :3, 3] -= nearest_point(poses[:, :3, 3], poses[:, :3, 2])
    poses[:, :3] = spoil(poses[:, :3])
    write_json(write_images(toy, tmp_path), transforms_of(replace(toy, camtoworlds=poses)))
    with pytest.raises(DataError, match=message):
        load_scene(tmp_path, "train", 1, DataConfig())


def test_few_or_parallel_cameras_are_not_guessed_about():
    poses = ring(12, levels=1).camtoworlds
    assert guess_mistake(opencv(poses[:2])) is None
    assert guess_mistake(np.repeat(poses[:1], 5, axis=0)) is None
