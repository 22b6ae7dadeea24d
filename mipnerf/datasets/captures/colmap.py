"""Captures whose cameras COLMAP found: a sparse model, text or binary, and the photographs beside it.

COLMAP's cameras look along +z, x right, y down; its poses are world to camera. The files are described at
colmap.github.io/format.html.
"""

import os
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.colmapfiles import ImageRow
from mipnerf.datasets.captures.colmapmodels import Model, find_model
from mipnerf.datasets.captures.lenses import lens_of_model
from mipnerf.datasets.captures.masks import find_mask
from mipnerf.datasets.captures.photographs import (
    MissingImageError,
    Photographs,
    check_intrinsics,
    check_splits,
    holdout,
    with_images,
)
from mipnerf.datasets.lens import Lens
from mipnerf.datasets.scene import check_poses, safe_path
from mipnerf.errors import DataError

# The bounds of LLFF: percentiles of the depths of the points that were seen, the near one with a margin.
NEAR_PERCENTILE, FAR_PERCENTILE, NEAR_MARGIN = 0.1, 99.9, 0.9
MAX_DEPTH = 1e20  # beyond, a point is at infinity


class Camera(NamedTuple):
    """One camera of a model."""

    intrinsics: np.ndarray  # [4]: fx, fy, cx, cy in pixels
    lens: Lens
    size: np.ndarray  # [2]: width, height


def read_photographs(folder: Path, data: DataConfig) -> Photographs:
    """The photographs of the capture in `folder`; every `data.llffhold`-th, sorted by name, is a test view.

    The model is that of `find_model`. Raises `DataError`, naming file and image, for files that are missing, damaged or
    contradict each other, for cameras of other models than `lenses.MODELS`, and for photographs that are missing.
    """
    model, images = find_model(folder)
    cameras = read_cameras(model)
    listed = read_images(model, cameras)

    def read(row: ImageRow) -> tuple[ImageRow, str]:
        return row, image_path(images, row.name, model.images).relative_to(folder).as_posix()

    pairs, missing = with_images(listed, read, data, str(model.images))
    rows, names = zip(*pairs, strict=True)
    camtoworlds = np.stack([camera_to_world(row.qvec, row.tvec) for row in rows])
    check_poses(camtoworlds, lambda i: f"{model.images}: image {rows[i].name!r}: the pose", rigid=True)
    splits = holdout(len(rows), data.llffhold)
    used = [cameras[row.camera_id] for row in rows]
    check_splits(names, splits, str(model.images))
    return Photographs(
        folder=folder,
        names=list(names),
        camtoworlds=camtoworlds[:, :3],
        intrinsics=np.stack([camera.intrinsics for camera in used]),
        sizes=np.stack([camera.size for camera in used]).astype(np.int64),
        splits=splits,
        lenses=[camera.lens for camera in used],
        masks=[find_mask(folder, name) for name in names],
        missing=missing,
        depths=lambda: read_depths(
            model,
            [row.image_id for row in rows],
            camtoworlds,
            np.array([camera.lens.is_bending for camera in used]),
        ),
    )


def read_cameras(model: Model) -> dict[int, Camera]:
    """Each camera by its number."""
    cameras: dict[int, Camera] = {}
    for row in model.form.cameras(model.cameras):
        where = f"{model.cameras}: camera {row.camera_id}"
        check_new(row.camera_id, cameras, where)
        intrinsics, lens = lens_of_model(row.model, row.params, where)
        size = np.array([row.width, row.height], dtype=np.float64)
        check_intrinsics(intrinsics, size, where)
        cameras[row.camera_id] = Camera(intrinsics, lens, size)
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
        message = f"{where}: image {name!r} does not exist in {images}; put the photographs there"
        raise MissingImageError(message, name)
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


def read_depths(
    model: Model, image_ids: list[int], camtoworlds: np.ndarray, is_bending: np.ndarray
) -> tuple[float, float] | None:
    """Near and far of the points that the images see, in the unit of the model; nothing where they see none.

    Depths are along the rays: through a lens that bends them, distances. Percentiles of all together, so that a single
    point which is far off moves neither.
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
    images_of, positions = order[rows[is_known]], positions[is_known]
    poses = camtoworlds[images_of]
    with np.errstate(all="ignore"):
        ways = poses[:, :3, 3] - positions
        depths = np.where(is_bending[images_of], np.linalg.norm(ways, axis=-1), (ways * poses[:, :3, 2]).sum(-1))
    depths = depths[(depths > 0) & (depths < MAX_DEPTH)]
    if len(depths) == 0:
        return None
    near, far = np.percentile(depths, [NEAR_PERCENTILE, FAR_PERCENTILE])
    return NEAR_MARGIN * float(near), float(far)
