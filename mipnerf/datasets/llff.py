"""LLFF captures: poses_bounds.npy and photographs, which face forward (rays in NDC) or stand all around (`spherify`).

Cameras equal those of google/mipnerf (`LLFF` in internal/datasets.py). Its captures have one resolution; here a view
may also have coarser levels, box means like those of the multiscale Blender dataset.
"""

import io
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.blender import SPLITS
from mipnerf.datasets.captures.photographs import holdout
from mipnerf.datasets.captures.poses import recenter_poses, scale_poses, spherical_path, spherify_poses, spiral_path
from mipnerf.datasets.captures.pyramids import Pyramid, equalised, read_levels
from mipnerf.datasets.images import KINDS, image_size
from mipnerf.datasets.layouts import IMAGE_SUFFIXES
from mipnerf.datasets.scene import (
    MAX_CAMERA_BYTES,
    Scene,
    check_count,
    chosen_levels,
    evenly_spread,
    parallel,
    pinhole_pix2cam,
    read_bytes,
)
from mipnerf.errors import ConfigError, DataError

NEAR, FAR = 0.0, 1.0
# What NumPy raises for a damaged file.
READ_ERRORS = (ValueError, EOFError, TypeError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError)
LEAST_PIXELS = 0.001  # below, there is no field of view
SIZE_TOLERANCE = 0.01  # of the stated size; tools that shrink images round


@dataclass(frozen=True, eq=False)
class Capture:
    """All N photographs of a folder, of both splits, and their cameras after recentring (and spherifying)."""

    paths: list[Path]
    names: list[str]  # relative to the folder, such as images_4/0001.png
    camtoworlds: np.ndarray  # [N, 3, 4] float32, spherified float64
    bounds: np.ndarray  # [N, 2] float32, nearest and farthest point that the camera saw
    focals: np.ndarray  # [N] float64, pixels after all reduction
    size: tuple[int, int]  # width and height of the files' images
    reduction: int  # by how much these are still to be reduced


def load_scene(
    folder: Path,
    split: str,
    data: DataConfig,
    num_levels: int = 1,
    max_views: int | None = None,
    level: int | None = None,
    view: int | None = None,
    workers: int | None = None,
) -> Scene:
    """One split (val is test) of a capture, `ndc` unless `data.spherify`; bounds 0 and 1 unless `data` has others.

    Every `data.llffhold`-th view, from the first on, is a test view. Images are those of `images_{data.factor}`, or of
    `images` for factor 0. If that folder is missing, images of one that is reduced less are reduced here, a pixel the
    sum of those that it covers. With `num_levels` above 1, each view also has levels 1, 2, ..., each half of the last,
    of lossmult 4**level, in the order view 0 at levels 0, 1, ..., then view 1. Where a size does not divide, pixels
    are lost at the right and the bottom, and the others still look where they did.

    `max_views` keeps that many views, evenly spread; `view` only that one, and `level` only that level. Other images
    are not read. Raises `DataError` for a bad capture, and `ConfigError` for a view or level that there is not.
    """
    if split not in SPLITS:
        raise DataError(f"{folder}: there is no split {split!r}; allowed are {', '.join(SPLITS)}")
    if num_levels < 1:
        raise ConfigError(f"levels must be at least 1, found {num_levels}")
    levels = np.array(chosen_levels(num_levels, level))
    capture = read_capture(folder, data)
    indices = holdout(len(capture.paths), data.llffhold)[split]
    if len(indices) == 0:
        raise DataError(f"{folder}: its only image is a test image; at least 2 are needed to train")
    views = evenly_spread(len(indices), max_views, view)
    chosen = indices[views]

    def read(i: int) -> Pyramid:
        return read_levels(capture.paths[i], capture.size, capture.reduction, num_levels, levels)

    images, max_value = equalised(parallel(read, chosen, workers))
    return make_scene(
        capture,
        data,
        images=images,
        max_value=max_value,
        camtoworlds=np.repeat(capture.camtoworlds[chosen], len(levels), axis=0),
        focals=np.repeat(capture.focals[chosen], len(levels)),
        levels=np.tile(levels, len(chosen)),
        views=np.repeat(views, len(levels)),
        names=[capture.names[i] for i in chosen for _ in levels],
    )


def render_path(folder: Path, data: DataConfig, num_poses: int = 120) -> Scene:
    """Cameras for a video: two turns of a spiral before the scene, or with `data.spherify` a circle around it.

    The images are black, of the capture's size, and take no memory. As in the reference, the views of all splits
    define the path, and a circle ends with its first pose. Raises `DataError` for a bad capture.
    """
    capture = read_capture(folder, data)
    if data.spherify:
        camtoworlds = spherical_path(capture.camtoworlds, num_poses)
    else:
        camtoworlds = spiral_path(capture.camtoworlds, capture.bounds, num_poses)
    width, height = (side // capture.reduction for side in capture.size)
    return make_scene(
        capture,
        data,
        images=[np.broadcast_to(np.uint8(0), (height, width, 3))] * num_poses,
        camtoworlds=camtoworlds,
        focals=np.repeat(capture.focals[:1], num_poses),
        levels=np.zeros(num_poses, dtype=np.int64),
        views=np.arange(num_poses),
        names=[f"path/{i:03d}.png" for i in range(num_poses)],
    )


def make_scene(capture: Capture, data: DataConfig, *, focals: np.ndarray, levels: np.ndarray, **fields: Any) -> Scene:
    """The scene of some cameras of a capture; `focals` [V] are those of level 0, `fields` those of `Scene`."""
    scales = capture.reduction * 2**levels
    # The image plane is that of the whole image, whatever has been cut off.
    width, height = capture.size
    cameras = zip(focals / 2**levels, width / scales, height / scales, strict=True)
    views = len(levels)
    scene = Scene(
        **fields | {"camtoworlds": fields["camtoworlds"].astype(np.float64)},
        pix2cams=np.stack([pinhole_pix2cam(*camera) for camera in cameras]),
        nears=np.full(views, NEAR),
        fars=np.full(views, FAR),
        lossmults=4.0**levels,
        levels=levels,
        ndc=not data.spherify,
    )
    scene = scene.with_bounds(data.near, data.far)
    if scene.ndc and (scene.nears.min() < NEAR or scene.fars.max() > FAR):
        raise ConfigError(
            f"data.near {scene.nears.min():g} and data.far {scene.fars.max():g} must lie within 0 and 1, which are the "
            "image plane and infinity for a forward-facing capture; set data.spherify for one that goes around"
        )
    return scene


def read_capture(folder: Path, data: DataConfig) -> Capture:
    """The cameras of all images in `folder`, without pixels.

    Raises `DataError` for files that are missing, damaged or contradict each other, and for cameras that do not face
    forward, or with `data.spherify` do not stand around anything.
    """
    path = folder / "poses_bounds.npy"
    matrices, bounds = read_poses_bounds(path)
    images, reduction = find_images(folder, data.factor)
    paths = sorted(
        entry for entry in images.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.name[0] != "."
    )
    if len(paths) != len(matrices):
        raise DataError(
            f"{images}: {len(paths)} {KINDS} images, but {path} has {len(matrices)} poses; "
            "every image needs its pose, in the order of their names"
        )
    width, height = image_size(paths[0])
    factor = max(data.factor, 1)
    stated = matrices[:, 1::-1, 4] * reduction / factor
    for i in np.flatnonzero((np.abs(stated - [width, height]) > 1 + SIZE_TOLERANCE * stated).any(axis=1)):
        raise DataError(
            f"{path}: row {i}: images in {images} should have {stated[i, 0]:g} x {stated[i, 1]:g} pixels, "
            f"{paths[0].name} has {width} x {height}; put them into the folder images_N by how much they are reduced"
        )

    try:
        with np.errstate(all="ignore"):  # what comes of it is checked
            camtoworlds, bounds = scale_poses(matrices[:, :, :4], bounds)
            camtoworlds = recenter_poses(camtoworlds)
            has_mean = np.isfinite(camtoworlds).all()
            if data.spherify and has_mean:
                camtoworlds, bounds = spherify_poses(camtoworlds, bounds)
    except np.linalg.LinAlgError:
        has_mean = False
    if not has_mean:
        raise DataError(f"{path}: the poses have no average: positions are too large, or directions cancel; repair it")
    if not np.isfinite(camtoworlds).all():
        raise DataError(f"{path}: data.spherify needs cameras that stand around what they look at; set it to false")
    faces_forward = data.spherify | (camtoworlds[:, 2, 2] > 0)
    for i in np.flatnonzero(~faces_forward):
        raise DataError(
            f"{path}: row {i}: the camera looks away from where the others look on average, which NDC does not allow; "
            "a scene seen from all around needs data.spherify"
        )
    return Capture(
        paths=paths,
        names=[f"{images.name}/{entry.name}" for entry in paths],
        camtoworlds=camtoworlds,
        bounds=bounds,
        focals=(matrices[:, 2, 4] / factor).astype(np.float32).astype(np.float64),  # as the reference rounds them
        size=(width, height),
        reduction=reduction,
    )


def read_poses_bounds(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """float64 matrices [N, 3, 5] (down, right, back, position; height, width, focal length) and bounds [N, 2]."""
    data = read_bytes(path, MAX_CAMERA_BYTES)
    try:
        rows = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except READ_ERRORS as error:
        raise DataError(f"{path}: not a whole NumPy array ({error}); fetch the scene anew, or repair it") from None
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != 17:
        raise DataError(
            f"{path}: must hold numbers of shape [images, 17], found {rows.dtype} of shape {list(rows.shape)}"
        )
    check_count(len(rows), f"{path}: the array")
    rows = rows.astype(np.float64)
    matrices, bounds = rows[:, :15].reshape(-1, 3, 5), rows[:, 15:]
    near, far = bounds.T
    with np.errstate(all="ignore"):
        is_finite = np.isfinite(rows.astype(np.float32)).all(axis=1)
        determinants = np.linalg.det(matrices[:, :, :3])
    rules = {
        "all 17 values must be finite in 32 bits": is_finite,
        "the pose must be invertible": np.abs(determinants) > 1e-9,
        "the axes of the pose must be right-handed: down, right, back": determinants > 0,
        f"height, width and focal length must be above {LEAST_PIXELS}": (matrices[:, :, 4] > LEAST_PIXELS).all(axis=1),
        "the bounds must be above 0, the near one below the far one": (near > 0) & (near < far),
    }
    for rule, holds in rules.items():
        for i in np.flatnonzero(~holds):
            raise DataError(f"{path}: row {i}: {rule}")
    return matrices, bounds


def find_images(folder: Path, factor: int) -> tuple[Path, int]:
    """The folder of the images that are reduced most towards `factor`, and by how much they still have to be."""
    candidates = {f"images_{d}": factor // d for d in range(factor, 0, -1) if factor % d == 0}
    candidates["images"] = max(factor, 1)
    for name, reduction in candidates.items():
        if (folder / name).is_dir():
            return folder / name, reduction
    found = ", ".join(sorted(entry.name for entry in folder.glob("images*") if entry.is_dir()))
    raise DataError(
        f"{folder}: data.factor {factor} needs a folder {' or '.join(candidates)}; found: {found or 'none'}; "
        "set data.factor to one that is there"
    )
