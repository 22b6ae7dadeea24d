"""A scene that needs no files, where only the speed counts, or whether something runs at all."""

import numpy as np

from mipnerf.datasets.scene import Scene, pinhole_pix2cam

SIZE, LEVELS = 64, 4  # pixels along a side, resolution levels


def made_up_scene() -> Scene:
    """One view of random colours at every level, as a multiscale dataset has it."""
    rng = np.random.default_rng(0)
    sizes = [SIZE >> level for level in range(LEVELS)]
    pose = np.concatenate([np.eye(3), [[0.0], [0.0], [4.0]]], axis=1)
    return Scene(
        images=[rng.integers(0, 256, (size, size, 4), dtype=np.uint8) for size in sizes],
        camtoworlds=np.stack([pose] * LEVELS),
        pix2cams=np.stack([pinhole_pix2cam(1.4 * size, size, size) for size in sizes]),
        nears=np.full(LEVELS, 2.0),
        fars=np.full(LEVELS, 6.0),
        lossmults=4.0 ** np.arange(LEVELS),
        levels=np.arange(LEVELS),
        views=np.zeros(LEVELS, dtype=np.int64),
        names=[f"{level}.png" for level in range(LEVELS)],
    )
