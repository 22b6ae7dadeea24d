"""Scenes in memory whose numbers are known, and what is found in them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mipnerf.config import RunConfig
from mipnerf.datasets.scene import Scene, pinhole_pix2cam
from mipnerf.inspection.checks import Finding, find_suspicious
from mipnerf.inspection.images import Split, summarise_split

CONFIG = Path(__file__).parents[3] / "config"
RUN = RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=2)
WIDTH, HEIGHT, FOCAL = 24, 16, 30.0


def ring(count: int, phase: float = 0.0, levels: int = 2, channels: int = 4, seed: int = 0) -> Scene:
    """Cameras at distance 4 around the origin that look at it, at two heights; images of noise."""
    rng = np.random.default_rng(seed)
    poses, images, names = [], [], []
    for i in range(count):
        angle = 2 * math.pi * (i + phase) / count
        back = np.array([math.cos(angle), math.sin(angle), 0.4 + 0.3 * (i % 2)])
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        for level in range(levels):
            poses.append(np.stack([right, np.cross(back, right), back, 4 * back], axis=1))
            images.append(rng.integers(0, 256, (HEIGHT >> level, WIDTH >> level, channels), dtype=np.uint8))
            names.append(f"{seed}_{i}_{level}.png")
    each = np.tile(np.arange(levels), count)
    sizes = [(image.shape[1], image.shape[0]) for image in images]
    return Scene(
        images=images,
        camtoworlds=np.stack(poses),
        pix2cams=np.stack([pinhole_pix2cam(FOCAL * w / WIDTH, w, h) for w, h in sizes]),
        nears=np.full(len(images), 2.0),
        fars=np.full(len(images), 6.0),
        lossmults=4.0**each,
        levels=each,
        views=np.repeat(np.arange(count), levels),
        names=names,
    )


def forward(count: int = 5, ndc: bool = True) -> Scene:
    """Cameras side by side that look along -z, turned a little."""
    scene = ring(count, levels=1, channels=3)
    poses = []
    for x in np.linspace(-0.5, 0.5, count):
        back = np.array([0.2 * x, 0, 1]) / np.linalg.norm([0.2 * x, 0, 1])
        right = np.cross([0.0, 1.0, 0.0], back)
        poses.append(np.stack([right, np.cross(back, right), back, [x, 0.1 * x, 0]], axis=1))
    bounds = {"nears": np.zeros(count), "fars": np.ones(count)} if ndc else {}
    return replace(scene, camtoworlds=np.stack(poses), ndc=ndc, **bounds)


def findings_of(train: Scene, test: Scene, run: RunConfig = RUN) -> list[Finding]:
    return find_suspicious([summarise_split("train", train), summarise_split("test", test)], run)


def texts(figure: Figure) -> list[str]:
    """Every text of a figure."""
    own = [text.get_text() for axes in figure.axes for text in axes.texts]
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return own + titles + legends


def splits_of(train: Scene, test: Scene) -> list[Split]:
    return [summarise_split("train", train), summarise_split("test", test)]
