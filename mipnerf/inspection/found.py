"""A picture of the cameras that structure from motion has found, and of the points that they saw."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.colmap import find_model, read_photographs
from mipnerf.datasets.captures.photographs import place
from mipnerf.datasets.scene import Scene, pix2cam_matrix
from mipnerf.inspection.frusta import plot_cameras
from mipnerf.inspection.images import Split
from mipnerf.report.figures.plots import save_figure

MAX_POINTS = 3000


def draw_found(folder: Path, name: str, data: DataConfig) -> None:
    """Write `picture_found` of the model in `folder` there, as cameras.png."""
    save_figure(picture_found(folder, name, data), folder / "cameras.png")


def picture_found(folder: Path, name: str, data: DataConfig) -> Figure:
    """The cameras and points of the COLMAP model in `folder`, where the model has them; `name` is the title."""
    photographs = read_photographs(folder, data)
    poses, near, far = place(photographs, data.model_copy(update={"normalize": False}))
    splits = []
    for split in ("train", "test"):
        chosen = photographs.splits[split]
        count = len(chosen)
        sizes = photographs.sizes[chosen]
        scene = Scene(
            images=[np.broadcast_to(np.uint8(0), (height, width, 3)) for width, height in sizes],
            camtoworlds=poses[chosen],
            pix2cams=np.stack([pix2cam_matrix(*values) for values in photographs.intrinsics[chosen]]),
            nears=np.full(count, near),
            fars=np.full(count, far),
            lossmults=np.ones(count),
            levels=np.zeros(count, dtype=np.int64),
            views=np.arange(count),
            names=[photographs.names[i] for i in chosen],
            lenses=[photographs.lenses[i] for i in chosen],
        )
        splits.append(Split(split, scene, [], np.zeros(0), np.zeros(0), [], {}))
    model = find_model(folder)[0]
    points = np.array([row.position for row in model.form.points(model.points)]).reshape(-1, 3)
    return plot_cameras(name, splits, points[:: max(1, len(points) // MAX_POINTS)])
