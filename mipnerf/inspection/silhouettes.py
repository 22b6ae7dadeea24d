"""Where the object of a scene with transparent pixels ends: what the silhouettes of all views leave of space."""

import math
from collections.abc import Sequence

import numpy as np

from mipnerf.datasets.scene import Scene
from mipnerf.inspection.cameras import contained_radius, focal_lengths, focus_point, positions, viewing

CELLS = 192  # of a silhouette, along the longer side of its image
SEARCHES = (96, 128)  # points along each side of the box that is searched, which is smaller each time
MOST_BESIDE = 0.25  # of all views, beside whose images a point of the object may be


def silhouette_of(image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """bool [h, w], of at most `CELLS` a side: whether a pixel of a cell is not transparent, or hidden by the mask.

    Args:
        image: [H, W, 3 or 4].
        mask: bool [H, W], false where pixels do not count.
    """
    is_there = image[..., 3] > 0 if image.shape[-1] == 4 else np.ones(image.shape[:2], bool)
    if mask is not None:
        is_there = is_there | ~mask
    height, width = image.shape[:2]
    for axis, side in enumerate((height, width)):
        is_there = np.logical_or.reduceat(is_there, np.arange(0, side, cell_size(height, width)), axis=axis)
    return is_there


def cell_size(height: int, width: int) -> int:
    """Pixels along a side of a silhouette's cells."""
    return -(-max(height, width) // CELLS)


def object_box(scene: Scene, silhouettes: Sequence[np.ndarray]) -> list[float] | None:
    """x, y and z of the lowest and of the highest corner of what may hold the object, as `data.box` takes them.

    None where images have no transparency, cameras do not look inward or bend their rays, or the object does not end
    between near and far of all cameras.

    Args:
        scene: cameras of V views.
        silhouettes: of each, the result of `silhouette_of`; empty where images have no transparency.
    """
    if not silhouettes or scene.ndc or scene.unbounded or scene.lenses is not None or viewing(scene) != "inward":
        return None
    focus, radius = focus_point(scene), contained_radius(scene)
    if radius <= 0:
        return None
    box = np.stack([focus - radius, focus + radius])
    for count in SEARCHES:
        cell = (box[1] - box[0]) / count
        points = grid_points(box, count)
        distances = np.linalg.norm(points - focus, axis=-1)
        points = what_may_be_object(scene, silhouettes, points[distances < radius], float(np.linalg.norm(cell)) / 2)
        if not len(points) or np.linalg.norm(points - focus, axis=-1).max() > radius - 2 * cell.max():
            return None
        box = np.stack([points.min(axis=0) - cell, points.max(axis=0) + cell])
    step = 10.0 ** math.floor(math.log10((box[1] - box[0]).max())) / 100
    return [round(float(value), 9) for value in (*np.floor(box[0] / step) * step, *np.ceil(box[1] / step) * step)]


def grid_points(box: np.ndarray, count: int) -> np.ndarray:
    """[count^3, 3]: the middles of equal cells of a box [2, 3]."""
    steps = [low + (high - low) * (np.arange(count) + 0.5) / count for low, high in box.T]
    return np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)


def what_may_be_object(
    scene: Scene, silhouettes: Sequence[np.ndarray], points: np.ndarray, radius: float
) -> np.ndarray:
    """[P, 3]: those of `points` [N, 3], which are before all cameras, around which something may be within `radius`.

    A view tells what is empty in its image; of what is beside it, several do together, if they cut no silhouette off.
    """
    times_beside = np.zeros(len(points), int)
    for view, silhouette in enumerate(silhouettes):
        is_empty, is_beside = looked_at(scene, view, silhouette, points, radius)
        if silhouette.any() and not (silhouette[[0, -1]].any() or silhouette[:, [0, -1]].any()):
            times_beside += is_beside
        points, times_beside = points[~is_empty], times_beside[~is_empty]
    return points[times_beside <= MOST_BESIDE * scene.num_views]


def looked_at(
    scene: Scene, view: int, silhouette: np.ndarray, points: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """bool [P] each: of the balls around points [P, 3], is a view's image empty there, or are they beside the image?"""
    pose, height, width = scene.camtoworlds[view], scene.heights[view], scene.widths[view]
    local = (points - positions(scene)[view]) @ np.linalg.inv(pose[:, :3]).T @ np.linalg.inv(scene.pix2cams[view]).T
    depth, cell = local[:, 2:], cell_size(height, width)
    # In cells of the silhouette, as large as a ball is at most.
    margin = math.ceil(radius * focal_lengths(scene)[view] / (depth.min(initial=np.inf) * cell))
    places, sides = np.floor(local[:, :2] / (depth * cell)) + margin, np.array(silhouette.shape[::-1]) + 2 * margin
    is_beside = ((places < 0) | (places >= sides)).any(axis=-1)
    column, row = np.clip(places, 0, sides - 1).astype(int).T
    return ~is_beside & ~widened(silhouette, margin)[row, column], is_beside


def widened(silhouette: np.ndarray, margin: int) -> np.ndarray:
    """bool [h + 2 M, w + 2 M]: the silhouette, wider by M cells; true where what is beside the image is as near."""
    wide = np.pad(silhouette, 2 * margin, constant_values=True)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * margin + 1, axis=axis)
        wide = np.asarray(windows.any(axis=-1))
    return wide
