"""The multiscale Blender dataset as `mipnerf.datasets.convert` (or google/mipnerf) writes it."""

from pathlib import Path

import numpy as np

from mipnerf.datasets.images import check_size, decode_png
from mipnerf.datasets.scene import (
    Scene,
    check_count,
    check_poses,
    chosen_levels,
    evenly_spread,
    finite_array,
    parallel,
    read_bytes,
    read_json,
    require,
    safe_path,
)
from mipnerf.errors import DataError

# Shape of one entry of each numeric list of metadata.json.
SHAPES = {
    "cam2world": (4, 4),
    "width": (),
    "height": (),
    "focal": (),
    "label": (),
    "near": (),
    "far": (),
    "lossmult": (),
    "pix2cam": (3, 3),
}


def load_scene(
    folder: Path,
    split: str,
    max_views: int | None = None,
    workers: int | None = None,
    *,
    level: int | None = None,
    view: int | None = None,
) -> Scene:
    """One split with all its levels, in the order of the file: view 0 at levels 0, 1, ..., then view 1.

    `max_views` keeps that many views, evenly spread, each with all its levels; `view` only that one, and `level` only
    that level. Other images are not read. Raises `DataError` if metadata.json is missing, malformed or contradicts
    itself or the images, and `ConfigError` for `max_views` below 1 and a view or level that there is not.
    """
    path = folder / "metadata.json"
    names, arrays = read_metadata(path, split)
    entries = entries_by_view(arrays["label"], f"{path}: {split}: 'label'")
    num_views, num_levels = entries.shape
    chosen = entries[evenly_spread(num_views, max_views, view)][:, chosen_levels(num_levels, level)].ravel()
    images = parallel(
        lambda i: read_level(
            folder, names[i], int(arrays["width"][i]), int(arrays["height"][i]), f"{path}: {split}: entry {i}"
        ),
        chosen,
        workers,
    )
    arrays = {key: values[chosen] for key, values in arrays.items()}
    return Scene(
        images=images,
        camtoworlds=arrays["cam2world"][:, :3],
        pix2cams=arrays["pix2cam"],
        nears=arrays["near"],
        fars=arrays["far"],
        lossmults=arrays["lossmult"],
        levels=arrays["label"].astype(np.int64),
        views=chosen // num_levels,
        names=[names[i] for i in chosen],
    )


def read_metadata(path: Path, split: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """File names and the float64 arrays [V, ...] of one split of metadata.json, validated."""
    content = require(read_json(path), split, dict, str(path))
    names = require(content, "file_path", list, f"{path}: {split}")
    check_count(len(names), f"{path}: {split}: 'file_path'")
    arrays = {}
    for key, shape in SHAPES.items():
        values = require(content, key, list, f"{path}: {split}")
        if len(values) != len(names):
            raise DataError(f"{path}: {split}: {key!r} has {len(values)} entries, but 'file_path' has {len(names)}")
        entries = [finite_array(value, shape, f"{path}: {split}: {key!r}, entry {i}") for i, value in enumerate(values)]
        arrays[key] = np.stack(entries)

    check_poses(arrays["cam2world"], lambda i: f"{path}: {split}: 'cam2world', entry {i}")
    rules = {
        "'width' and 'height' must be whole numbers above 0": is_count(arrays["width"]) & is_count(arrays["height"]),
        "'near' must be at least 0 and below 'far'": (arrays["near"] >= 0) & (arrays["near"] < arrays["far"]),
        "'lossmult' and 'focal' must be above 0": (arrays["lossmult"] > 0) & (arrays["focal"] > 0),
        "'pix2cam' must be invertible": np.abs(np.linalg.det(arrays["pix2cam"])) > 0,
    }
    for rule, holds in rules.items():
        for i in np.flatnonzero(~holds):
            raise DataError(f"{path}: {split}: entry {i}: {rule}")
    return names, arrays


def is_count(values: np.ndarray) -> np.ndarray:
    return (values >= 1) & (values == np.round(values))


def entries_by_view(labels: np.ndarray, where: str) -> np.ndarray:
    """Indices [V, L] of all entries; `labels` [V * L] have to run 0, 1, ... in each view."""
    num_levels = int(labels.max()) + 1
    if num_levels < 1 or len(labels) % num_levels or np.any(labels != np.arange(len(labels)) % num_levels):
        raise DataError(f"{where} must run 0, 1, ... through the same levels for every view")
    return np.arange(len(labels)).reshape(-1, num_levels)


def read_level(folder: Path, name: object, width: int, height: int, where: str) -> np.ndarray:
    """The image `name`, uint8 [H, W, C], which has to have the stated size."""
    if not isinstance(name, str):
        raise DataError(f"{where}: 'file_path' must be a text, found {name!r}")
    path = safe_path(folder, name, f"{where}: 'file_path'")
    pixels = decode_png(read_bytes(path), path)
    check_size(pixels, path, width, height)
    return pixels
