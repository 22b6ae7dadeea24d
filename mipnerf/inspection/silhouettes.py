"""Where the object of a scene with transparent pixels ends: what the silhouettes of all views leave of space."""

from collections.abc import Sequence

import numpy as np

from mipnerf.datasets.scene import Scene
from mipnerf.inspection.cameras import contained_radius, focus_point, positions, viewing

CELLS = 192  # of a silhouette, along the longer side of its image
POINTS = 64  # along each side of the box that is searched
# Cells by which silhouettes are widened in each search: what lies between two points is not missed by them.
MARGINS = (3, 1)


def silhouette_of(image: np.ndarray) -> np.ndarray:
    """bool [h, w], of at most `CELLS` a side: whether any pixel [H, W, 3 or 4] of a cell is not transparent."""
    is_there = image[..., 3] > 0 if image.shape[-1] == 4 else np.ones(image.shape[:2], bool)
    for axis in (0, 1):
        side, cell = is_there.shape[axis], -(-max(image.shape[:2]) // CELLS)
        is_there = np.logical_or.reduceat(is_there, np.arange(0, side, cell), axis=axis)
    return is_there


def object_box(scene: Scene, silhouettes: Sequence[np.ndarray]) -> list[float] | None:
    """x, y and z of the lowest and of the highest corner of what may hold the object, as `data.box` takes them.

    It is searched among all that lies between near and far of every camera; the result is wider by some percent of an
    image. Nothing is returned where images have no transparency, cameras do not look inward, or nothing is left.

    Args:
        scene: cameras of V views.
        silhouettes: of each, the result of `silhouette_of`; empty where images have no transparency.
    """
    if not silhouettes or scene.ndc or scene.lenses is not None or viewing(scene) != "inward":
        return None
    radius = contained_radius(scene)
    if radius <= 0:
        return None
    box = np.stack([focus_point(scene) - radius, focus_point(scene) + radius])
    for margin in MARGINS:
        cell = (box[1] - box[0]) / POINTS
        steps = [low + size * (np.arange(POINTS) + 0.5) for low, size in zip(box[0], cell, strict=True)]
        points = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
        for view in range(scene.num_views):
            points = points[may_be_object(scene, view, silhouettes[view], points, margin)]
        if not len(points):
            return None
        box = np.stack([points.min(axis=0) - cell, points.max(axis=0) + cell])
    return [float(value) for value in (*np.floor(100 * box[0]) / 100, *np.ceil(100 * box[1]) / 100)]


def may_be_object(scene: Scene, view: int, silhouette: np.ndarray, points: np.ndarray, margin: int) -> np.ndarray:
    """[N] bool: whether the points [N, 3] lie in a silhouette wider by `margin`, or beside an image that cuts it."""
    pose, height, width = scene.camtoworlds[view], scene.heights[view], scene.widths[view]
    local = (points - positions(scene)[view]) @ np.linalg.inv(pose[:, :3]).T @ np.linalg.inv(scene.pix2cams[view]).T
    is_before = local[:, 2] > 0
    x, y = (local[:, :2] / np.where(is_before, local[:, 2], 1)[:, None]).T
    cell = -(-max(height, width) // CELLS)
    # Beyond the margin, a row and a column on each side stand for all that is beside the image.
    column, row = (
        np.clip(np.floor(place / cell), -margin - 1, count + margin).astype(int) + margin + 1
        for place, count in ((x, silhouette.shape[1]), (y, silhouette.shape[0]))
    )
    return ~is_before | widened(silhouette, margin)[row, column]


def widened(silhouette: np.ndarray, margin: int) -> np.ndarray:
    """bool [h + 2 M + 2, w + 2 M + 2]: the silhouette, wider by M cells; true beside the image where it is cut off."""
    is_cut = bool(silhouette[[0, -1]].any() or silhouette[:, [0, -1]].any())
    wide: np.ndarray = np.pad(silhouette, margin, constant_values=is_cut)
    for axis in (0, 1):
        padded = np.pad(wide, [(margin, margin) if i == axis else (0, 0) for i in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * margin + 1, axis=axis)
        wide = np.asarray(windows.any(axis=-1))
    return np.pad(wide, 1, constant_values=is_cut)
