"""The photographs of the measurements that are run by hand (tests/lenses.py, tests/outdoors.py) are what they say."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("pycolmap", reason="the extra `sfm` is not installed: pip install -e '.[sfm]'")

import lenses
import outdoors

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import DataConfig
from mipnerf.datasets.bricks import TAN_HALF_ANGLE, _scene_and_sunlight, camera_poses
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.raytrace import _trace, render

SIZE = 32


def test_a_pinhole_takes_what_the_ray_tracer_renders():
    pose = camera_poses("train", 3)[1]
    taken = lenses.take_photograph("pinhole", pose, SIZE)
    rendered = render(*_scene_and_sunlight(), pose, 0.5 / lenses.CAMERAS["pinhole"][1], SIZE, lenses.SAMPLES)
    assert np.abs(taken.astype(int) - rendered).max() <= 1


@pytest.mark.parametrize("name", lenses.CAMERAS)
def test_loaded_cameras_meet_the_bricks_where_photographs_show_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr(lenses, "VIEWS", {"train": 2, "test": 1})
    with ThreadPoolExecutor() as pool:
        lenses.write_captures(name, tmp_path, SIZE, pool)
    data = DataConfig(**lenses.DATA)

    def agreement(folder) -> float:
        scene = load_scene(folder, "train", 1, data)
        rays = image_rays(Cameras.from_scene(scene), 0, SIZE, SIZE)
        origin, directions = rays.origins[:1].double().numpy().T, rays.directions.double().numpy().T
        hit = _trace(*_scene_and_sunlight(), origin, directions)[1].reshape(SIZE, SIZE)
        return float((hit == (scene.images[0][..., 3] > 127)).mean())

    assert agreement(tmp_path / name) > 0.98
    if name != "pinhole":
        assert agreement(tmp_path / f"{name}_as_pinhole") < 0.975


def test_bricks_stand_before_the_sphere():
    pose = camera_poses("train", 3)[2]
    taken = outdoors.take_photograph(pose, SIZE)
    alpha = render(*_scene_and_sunlight(), pose, TAN_HALF_ANGLE, SIZE, outdoors.SAMPLES)[..., 3]
    assert 0.1 < (alpha == 255).mean() < 0.9
    assert np.ptp(taken[alpha == 0], axis=0).min() > 30  # it is painted
    # Straight ahead of a camera that looks at the middle, where the bricks are not.
    ahead = outdoors.paint(-pose[:3, 2:3])
    assert ((ahead >= 0) & (ahead <= 1)).all()
