"""The synthetic Blender scenes of NeRF: transforms_{split}.json and one RGBA PNG a frame."""

import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mipnerf.datasets.images import check_size, decode_png
from mipnerf.datasets.layouts import is_scene
from mipnerf.datasets.scene import (
    Scene,
    check_count,
    check_poses,
    evenly_spread,
    finite_array,
    parallel,
    pinhole_pix2cam,
    read_bytes,
    read_json,
    require,
    safe_path,
)
from mipnerf.errors import DataError

SPLITS = ("train", "val", "test")
NEAR, FAR = 2.0, 6.0
LEAST_ANGLE = 1e-6  # radians; less is no field of view


@dataclass(frozen=True, eq=False)
class BlenderSplit:
    """The validated content of one transforms file; V frames, all images exist."""

    paths: list[Path]
    names: list[str]  # relative to the scene folder, such as train/r_0.png
    camtoworlds: np.ndarray  # [V, 4, 4] float64
    camera_angle_x: float  # horizontal field of view, radians in (0, pi)

    def focal(self, width: int) -> float:
        """Focal length in pixels of an image `width` pixels wide."""
        return float(0.5 * width / np.tan(0.5 * self.camera_angle_x))


def read_transforms(folder: Path, split: str) -> BlenderSplit:
    """Read `folder`/transforms_{split}.json.

    Raises `DataError`, naming file and frame, for malformed JSON, missing keys, values that are no finite numbers or
    of another shape, an angle outside (0, pi), no frames, and images that are missing or outside of `folder`.
    """
    path = folder / f"transforms_{split}.json"
    if split == "train" and not path.exists() and is_scene(folder):
        raise DataError(f"{folder} is no Blender scene; set the dataset's layout to transforms, colmap or llff")
    content = read_json(path)
    angle = float(finite_array(require(content, "camera_angle_x", object, str(path)), (), f"{path}: 'camera_angle_x'"))
    if not LEAST_ANGLE < angle < math.pi - LEAST_ANGLE:
        raise DataError(f"{path}: 'camera_angle_x' must be an angle in radians between 0 and pi, found {angle}")
    frames = require(content, "frames", list, str(path))
    check_count(len(frames), f"{path}: 'frames'")

    paths, names, camtoworlds = [], [], []
    for i, frame in enumerate(frames):
        where = f"{path}: frame {i}"
        name = require(frame, "file_path", str, where)
        name = name if name.lower().endswith(".png") else name + ".png"
        image = safe_path(folder, name, f"{where}: 'file_path'")
        if not os.path.isfile(image):  # false also for impossible names
            raise DataError(f"{where}: 'file_path': image {name!r} does not exist in {folder}; fetch the scene anew")
        matrix = require(frame, "transform_matrix", list, where)
        paths.append(image)
        names.append(str(PurePosixPath(name)))
        camtoworlds.append(finite_array(matrix, (4, 4), f"{where}: 'transform_matrix'"))
    check_poses(np.stack(camtoworlds), lambda i: f"{path}: frame {i}: 'transform_matrix'")
    return BlenderSplit(paths, names, np.stack(camtoworlds), angle)


def load_scene(
    folder: Path,
    split: str,
    near: float = NEAR,
    far: float = FAR,
    workers: int | None = None,
    *,
    max_views: int | None = None,
    view: int | None = None,
) -> Scene:
    """One split at full resolution: level 0, lossmult 1 (`Blender` of the reference).

    `max_views` keeps that many views, evenly spread; `view` only that one. Other images are not read. All images need
    to have one size. Raises `DataError` as `read_transforms`, and for bad images; `ConfigError` as `evenly_spread`.
    """
    data = read_transforms(folder, split)
    chosen = evenly_spread(len(data.paths), max_views, view)
    paths = [data.paths[i] for i in chosen]
    images = parallel(lambda path: decode_png(read_bytes(path), path), paths, workers)
    height, width = images[0].shape[:2]
    for path, image in zip(paths, images, strict=True):
        check_size(image, path, width, height)
    views = len(images)
    return Scene(
        images=images,
        camtoworlds=data.camtoworlds[chosen, :3],
        pix2cams=np.tile(pinhole_pix2cam(data.focal(width), width, height), (views, 1, 1)),
        nears=np.full(views, near),
        fars=np.full(views, far),
        lossmults=np.ones(views),
        levels=np.zeros(views, dtype=np.int64),
        views=chosen,
        names=[data.names[i] for i in chosen],
    )
