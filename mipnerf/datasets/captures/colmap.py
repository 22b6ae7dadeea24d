"""Captures whose cameras COLMAP found: a sparse model, text or binary, and the photographs beside it.

COLMAP's cameras look along +z, x right, y down; its poses are world to camera. The files are described at
colmap.github.io/format.html.
"""

import os
from collections.abc import Container
from pathlib import Path

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.colmapfiles import ImageRow
from mipnerf.datasets.captures.colmapmodels import Model, find_model
from mipnerf.datasets.captures.photographs import (
    HOW_TO_UNDISTORT,
    MissingImageError,
    Photographs,
    check_intrinsics,
    check_splits,
    holdout,
    with_images,
)
from mipnerf.datasets.scene import check_poses, safe_path
from mipnerf.errors import DataError

# Of each model, where fx, fy, cx and cy stand among its parameters.
PINHOLES = {"SIMPLE_PINHOLE": [0, 0, 1, 2], "PINHOLE": [0, 1, 2, 3]}
# The bounds of LLFF: percentiles of the depths of the points that were seen, the near one with a margin.
NEAR_PERCENTILE, FAR_PERCENTILE, NEAR_MARGIN = 0.1, 99.9, 0.9
MAX_DEPTH = 1e20  # beyond, a point is at infinity


def read_photographs(folder: Path, data: DataConfig) -> Photographs:
    """The photographs of the capture in `folder`; every `data.llffhold`-th, sorted by name, is a test view.

    The model is that of `find_model`. Raises `DataError`, naming file and image, for files that are missing, damaged or
    contradict each other, for cameras that are no pinholes, and for photographs that are missing.
    """
    model, images = find_model(folder)
    cameras = read_cameras(model)
    listed = read_images(model, cameras)

    def read(row: ImageRow) -> tuple[ImageRow, str]:
        return row, image_path(images, row.name, model.images).relative_to(folder).as_posix()

    pairs = with_images(listed, read, data, str(model.images))
    rows, names = zip(*pairs, strict=True)
    camtoworlds = np.stack([camera_to_world(row.qvec, row.tvec) for row in rows])
    check_poses(camtoworlds, lambda i: f"{model.images}: image {rows[i].name!r}: the pose", rigid=True)
    splits = holdout(len(rows), data.llffhold)
    check_splits(names, splits, str(model.images))
    return Photographs(
        folder=folder,
        names=list(names),
        camtoworlds=camtoworlds[:, :3],
        intrinsics=np.stack([cameras[row.camera_id][0] for row in rows]),
        sizes=np.stack([cameras[row.camera_id][1] for row in rows]).astype(np.int64),
        splits=splits,
        depths=lambda: read_depths(model, [row.image_id for row in rows], camtoworlds),
    )


def read_cameras(model: Model) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Intrinsics [4] (fx, fy, cx, cy) and size [2] of each camera by its number."""
    cameras: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for row in model.form.cameras(model.cameras):
        where = f"{model.cameras}: camera {row.camera_id}"
        check_new(row.camera_id, cameras, where)
        if row.model not in PINHOLES:
            raise DataError(f"{where}: its model is {row.model}, which is distorted; {HOW_TO_UNDISTORT}")
        if len(row.params) != max(PINHOLES[row.model]) + 1:
            raise DataError(f"{where}: {len(row.params)} parameters, a {row.model} has {max(PINHOLES[row.model]) + 1}")
        intrinsics = np.array(row.params)[PINHOLES[row.model]]
        size = np.array([row.width, row.height], dtype=np.float64)
        check_intrinsics(intrinsics, size, where)
        cameras[row.camera_id] = intrinsics, size
    return cameras


def read_images(model: Model, cameras: Container[int]) -> list[ImageRow]:
    """The images, sorted by name."""
    found: dict[int, ImageRow] = {}
    for row in model.form.images(model.images):
        where = f"{model.images}: image {row.name!r}"
        check_new(row.image_id, found, where)
        if row.camera_id not in cameras:
            raise DataError(f"{where}: its camera {row.camera_id} is not in {model.cameras}")
        if not np.isfinite([*row.qvec, *row.tvec]).all() or not 1e-6 < np.abs(row.qvec).max() < 1e6:
            raise DataError(f"{where}: the pose must be finite, with a quaternion that is not 0")
        found[row.image_id] = row
    if not found:
        raise DataError(f"{model.images}: holds no image, expected at least one")
    return sorted(found.values(), key=lambda row: row.name)


def check_new(number: int, known: Container[int], where: str) -> None:
    if number in known:
        raise DataError(f"{where}: the number {number} occurs twice")


def image_path(images: Path, name: str, where: Path) -> Path:
    """The image `name` of the folder `images`."""
    path = safe_path(images, name, f"{where}: image")
    if not os.path.isfile(path):  # false also for impossible names
        raise MissingImageError(f"{where}: image {name!r} does not exist in {images}; put the photographs there")
    return path


def camera_to_world(qvec: tuple[float, ...], tvec: tuple[float, ...]) -> np.ndarray:
    """[4, 4], OpenGL, of COLMAP's world to camera: a quaternion w, x, y, z and a translation."""
    w, x, y, z = np.array(qvec) / np.linalg.norm(qvec)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    with np.errstate(all="ignore"):  # what comes of it is checked
        pose[:3, 3] = -rotation.T @ np.array(tvec)
    pose[:3, :3] = rotation.T * [1, -1, -1]
    return pose


def read_depths(model: Model, image_ids: list[int], camtoworlds: np.ndarray) -> tuple[float, float] | None:
    """Near and far of the points that the images see, in the unit of the model; nothing where they see none.

    Percentiles of all depths together, so that a single point which is far off moves neither.
    """
    if not model.points.exists():
        return None
    points, images = [], []
    for row in model.form.points(model.points):
        points.append(row.position)
        images.append(row.image_ids)
    if not points:
        return None
    positions = np.repeat(np.array(points), [len(ids) for ids in images], axis=0)
    if not np.isfinite(positions).all():
        raise DataError(f"{model.points}: positions must be finite")
    order = np.argsort(image_ids)
    ids, seen_by = np.array(image_ids)[order], np.concatenate(images)
    rows = np.searchsorted(ids, seen_by).clip(max=len(ids) - 1)
    is_known = ids[rows] == seen_by
    poses, positions = camtoworlds[order[rows[is_known]]], positions[is_known]
    with np.errstate(all="ignore"):
        depths = ((poses[:, :3, 3] - positions) * poses[:, :3, 2]).sum(-1)
    depths = depths[(depths > 0) & (depths < MAX_DEPTH)]
    if len(depths) == 0:
        return None
    near, far = np.percentile(depths, [NEAR_PERCENTILE, FAR_PERCENTILE])
    return NEAR_MARGIN * float(near), float(far)
