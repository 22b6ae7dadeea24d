"""A small scene in memory, and a run small enough to train in a second."""

import numpy as np
import pytest

from mipnerf.config import RunConfig
from mipnerf.datasets.scene import Scene, pinhole_pix2cam


@pytest.fixture
def small_scene() -> Scene:
    """Three views at two levels (8x8 and 4x4) of random colours, cameras on a circle around the origin."""
    rng = np.random.default_rng(0)
    images, poses, pix2cams, levels = [], [], [], []
    for angle in (0.0, 2.0, 4.0):
        for level, size in enumerate((8, 4)):
            images.append(rng.integers(0, 256, (size, size, 4), dtype=np.uint8))
            poses.append(pose_at(angle))
            pix2cams.append(pinhole_pix2cam(1.5 * size, size, size))
            levels.append(level)
    count = len(images)
    return Scene(
        images=images,
        camtoworlds=np.stack(poses),
        pix2cams=np.stack(pix2cams),
        nears=np.full(count, 2.0),
        fars=np.full(count, 6.0),
        lossmults=4.0 ** np.array(levels),
        levels=np.array(levels),
        views=np.arange(count) // 2,
        names=[f"{i}.png" for i in range(count)],
    )


def pose_at(angle: float) -> np.ndarray:
    """[3, 4] of a camera at distance 4 that looks at the origin."""
    back = np.array([np.cos(angle), np.sin(angle), 0.5])
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, 4 * back], axis=1)


@pytest.fixture
def small_run() -> RunConfig:
    """A run that takes 12 steps of 32 rays with a tiny network."""
    return make_run()


@pytest.fixture
def run_with():
    """A function: overrides by section -> the small run with them."""
    return make_run


def make_run(**sections: dict) -> RunConfig:
    values = {
        "model": {"net_depth": 2, "net_width": 16, "net_width_condition": 8, "num_samples": 8, "max_deg_point": 4},
        "train": {"batch_size": 32, "max_steps": 12, "lr_init": 5e-3, "lr_final": 5e-4, "lr_delay_steps": 2},
        "data": {},
    }
    for section, overrides in sections.items():
        values[section] |= overrides
    return RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=2, **values)
