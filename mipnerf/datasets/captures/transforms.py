"""Captures in the form of instant-ngp and nerfstudio: transforms.json, or one such file a split, and photographs.

Poses are camera to world, OpenGL. Ignored, since the cameras are as the file has them without: `applied_transform` and
`applied_scale` (what was done to the poses already), `orientation_override` and the like (what nerfstudio would do to
them), `aabb_scale`, `scale` and `offset` (where instant-ngp puts its box), depths, normals, sharpness and point clouds.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.blender import SPLITS
from mipnerf.datasets.captures.lenses import lens_of_keys
from mipnerf.datasets.captures.masks import find_mask
from mipnerf.datasets.captures.photographs import (
    MissingImageError,
    Photographs,
    check_intrinsics,
    check_splits,
    holdout,
    with_images,
)
from mipnerf.datasets.captures.poses import ROUNDED, nearest_rotations
from mipnerf.datasets.images import image_size
from mipnerf.datasets.layouts import IMAGE_SUFFIXES
from mipnerf.datasets.lens import Lens
from mipnerf.datasets.scene import check_count, check_poses, finite_array, number, read_json, require, safe_path
from mipnerf.errors import DataError

log = logging.getLogger(__name__)
SUFFIXES = (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES))
CAMERA_KEYS = ("'fl_x' and 'fl_y'", "'cx' and 'cy'", "'w' and 'h'")
MIN_ANGLE, MAX_ANGLE = 1e-6, 3.14  # of view, radians


@dataclass(frozen=True, eq=False)
class Frame:
    """One photograph and its camera."""

    name: str  # relative to the scene folder
    stated: str  # the name as the file has it, perhaps without its suffix
    camtoworld: np.ndarray  # [4, 4]
    intrinsics: np.ndarray  # [4]: fx, fy, cx, cy in pixels
    size: np.ndarray  # [2]: width, height
    lens: Lens
    mask: str | None  # relative to the scene folder


def read_photographs(folder: Path, data: DataConfig) -> Photographs:
    """The photographs of the capture in `folder`.

    Splits are those of transforms_{train,val,test}.json, or with one transforms.json those of its lists
    `train_filenames`, `val_filenames` and `test_filenames`, or every `data.llffhold`-th frame, sorted by name, is a
    test view. Where only one of val and test is given, it is the other as well.

    Raises `DataError`, naming file and frame, for malformed JSON, missing keys, values that are no finite numbers or of
    another shape, lenses that are not among `lenses.KEYS`, poses that are none, images that are missing or outside of
    `folder`, and photographs that are both to be learnt and to be tested on.
    """
    if (folder / "transforms_train.json").exists():
        path = folder / "transforms_train.json"
        frames, missing, splits = read_split_files(folder, data)
    else:
        path = folder / "transforms.json"
        content = read_json(path)
        frames, missing = read_frames(folder, path, content, data)
        frames.sort(key=lambda frame: frame.name)
        splits = listed_splits(content, frames, path, data) or holdout(len(frames), data.llffhold)
    names = [frame.name for frame in frames]
    check_splits(names, splits, str(path))
    return Photographs(
        folder=folder,
        names=names,
        camtoworlds=np.stack([frame.camtoworld[:3] for frame in frames]),
        intrinsics=np.stack([frame.intrinsics for frame in frames]),
        sizes=np.stack([frame.size for frame in frames]).astype(np.int64),
        splits=splits,
        lenses=[frame.lens for frame in frames],
        masks=[frame.mask for frame in frames],
        missing=missing,
    )


def read_split_files(folder: Path, data: DataConfig) -> tuple[list[Frame], list[str], dict[str, np.ndarray]]:
    """The frames of transforms_{train,val,test}.json in their order, missing images, and the indices of each split."""
    frames: list[Frame] = []
    missing: list[str] = []
    splits = {}
    for split in SPLITS:
        path = folder / f"transforms_{split}.json"
        if path.exists():
            found, lost = read_frames(folder, path, read_json(path), data)
            splits[split] = np.arange(len(frames), len(frames) + len(found))
            frames += found
            missing += lost
    return frames, missing, with_val_and_test(splits, f"{folder}: transforms_val.json or transforms_test.json")


def listed_splits(
    content: Mapping[str, Any], frames: list[Frame], path: Path, data: DataConfig
) -> dict[str, np.ndarray] | None:
    """Indices of each split as nerfstudio's lists of file names say; nothing where there is no list."""
    if not any(f"{split}_filenames" in content for split in SPLITS):
        return None
    index = {_posix(frame.stated): i for i, frame in enumerate(frames)}
    splits = {}
    for split in SPLITS:
        key = f"{split}_filenames"
        names = require(content, key, list, str(path)) if key in content else []
        for name in names:
            is_known = isinstance(name, str) and _posix(name) in index
            if not is_known and not (isinstance(name, str) and data.missing_images == "skip"):
                raise DataError(f"{path}: {key!r} has {name!r}, which is the 'file_path' of no frame")
        if names or split == "train":
            known = {index[name] for name in map(_posix, names) if name in index}
            splits[split] = np.array(sorted(known), dtype=np.int64)
    return with_val_and_test(splits, f"{path}: 'val_filenames' or 'test_filenames'")


def with_val_and_test(splits: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """All three splits, where val stands for a missing test and test for a missing val."""
    either = splits.get("test", splits.get("val"))
    if either is None:
        raise DataError(f"{where} is missing: views are needed that are not trained on")
    return {"train": splits["train"], "val": splits.get("val", either), "test": either}


def read_frames(
    folder: Path, path: Path, content: Mapping[str, Any], data: DataConfig
) -> tuple[list[Frame], list[str]]:
    """All frames of one file, and the images that are not there."""
    frames = require(content, "frames", list, str(path))
    if not frames:
        raise DataError(f"{path}: 'frames' is empty, expected at least one frame")
    check_count(len(frames), f"{path}: 'frames'")

    def read(i: int) -> tuple[int, Frame]:
        return i, read_frame(folder, frames[i], content, f"{path}: frame {i}")

    pairs, missing = with_images(range(len(frames)), read, data, str(path))
    numbers, found = zip(*pairs, strict=True)
    matrices = np.stack([frame.camtoworld for frame in found])
    check_poses(matrices, lambda i: f"{path}: frame {numbers[i]}: 'transform_matrix'", rigid=True)
    matrices, off = nearest_rotations(matrices)
    if off > ROUNDED:
        log.warning("%s: rotations are off by up to %.2g %%; the nearest rotations are taken", path, 100 * off)
    return [replace(frame, camtoworld=matrix) for frame, matrix in zip(found, matrices, strict=True)], missing


def read_frame(folder: Path, frame: Any, content: Mapping[str, Any], where: str) -> Frame:
    """One entry of `frames`; where it lacks a value of the camera, that of the file counts."""
    stated = require(frame, "file_path", str, where)
    rows = require(frame, "transform_matrix", list, where)
    # The last row says nothing, and some programs leave it out.
    matrix = finite_array([*rows, [0, 0, 0, 1]] if len(rows) == 3 else rows, (4, 4), f"{where}: 'transform_matrix'")
    values = {**content, **frame}
    lens = lens_of_keys(values, where)
    path = find_image(folder, stated, where)
    stated_size = [number(values, key, where) if key in values else None for key in ("w", "h")]
    header = image_size(path) if None in stated_size else (0, 0)
    size = np.array([side or own for side, own in zip(stated_size, header, strict=True)], dtype=np.float64)
    focals = [focal_length(frame, content, axis, side, where) for axis, side in zip("xy", size, strict=True)]
    if focals == [None, None]:
        raise DataError(f"{where}: no focal length: 'fl_x' (pixels) or 'camera_angle_x' (radians) is missing")
    # Square pixels where one is missing.
    fx, fy = (own or other for own, other in zip(focals, focals[::-1], strict=True))
    cx, cy = (
        number(values, key, where) if key in values else side / 2 for key, side in zip(("cx", "cy"), size, strict=True)
    )
    intrinsics = np.array([fx, fy, cx, cy])
    check_intrinsics(intrinsics, size, where, CAMERA_KEYS)
    name = path.relative_to(folder).as_posix()
    mask = stated_mask(folder, frame, where) or find_mask(folder, name)
    return Frame(name, stated, matrix, intrinsics, size, lens, mask)


def stated_mask(folder: Path, frame: Mapping[str, Any], where: str) -> str | None:
    """The mask that the frame names, relative to `folder`; `DataError` if it is not there."""
    if frame.get("mask_path") is None:
        return None
    path = find_image(folder, require(frame, "mask_path", str, where), where, "mask_path")
    return path.relative_to(folder).as_posix()


def focal_length(
    frame: Mapping[str, Any], content: Mapping[str, Any], axis: str, side: float, where: str
) -> float | None:
    """Pixels, from fl_x or camera_angle_x (fl_y, camera_angle_y) of the frame, else of the file, if there."""
    for values in (frame, content):
        if f"fl_{axis}" in values:
            return positive(values, f"fl_{axis}", where)
        if f"camera_angle_{axis}" in values:
            angle = number(values, f"camera_angle_{axis}", where)
            if not MIN_ANGLE <= angle <= MAX_ANGLE:
                raise DataError(
                    f"{where}: 'camera_angle_{axis}' must be an angle in radians between 0 and pi, found {angle}"
                )
            return float(0.5 * side / np.tan(0.5 * angle))
    return None


def find_image(folder: Path, stated: str, where: str, key: str = "file_path") -> Path:
    """The photograph that is `stated` under `key`, with or without its suffix.

    Of a path that begins elsewhere, as it was on another machine, its end counts: the longest that is in `folder`.
    """
    parts = PureWindowsPath(stated).parts if "\\" in stated else PurePosixPath(stated).parts
    is_elsewhere = ".." in parts or PureWindowsPath(stated).anchor or PurePosixPath(stated).is_absolute()
    first = max((i + 1 for i, part in enumerate(parts) if part == ".." or part[-1] in "/\\"), default=0)
    for start in range(first, len(parts) if is_elsewhere else first + 1):
        name = "/".join(parts[start:])
        for suffix in ("", *SUFFIXES):
            path = safe_path(folder, name + suffix, f"{where}: {key!r}")
            if os.path.isfile(path):  # false also for impossible names
                return path
    others = ", ".join(SUFFIXES[:3])
    what = "image" if key == "file_path" else "mask"
    message = f"{where}: {key!r}: {what} {stated!r} does not exist in {folder}, nor does it as {others}"
    raise MissingImageError(message, stated) if what == "image" else DataError(message)


def _posix(name: str) -> str:
    return str(PurePosixPath(name))


def positive(values: Mapping[str, Any], key: str, where: str) -> float:
    value = number(values, key, where)
    if value <= 0:
        raise DataError(f"{where}: {key!r} must be above 0, found {value:g}")
    return value
