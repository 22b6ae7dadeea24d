"""Tiny Blender and LLFF scenes on disk, their rays, and snapshots of folders, for tests of the data layer."""

import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mipnerf.cameras import Cameras
from mipnerf.config import DataConfig
from mipnerf.datasets.scene import Scene
from mipnerf.pixels import integer_tensor, to_rgb

ANGLE = 0.6911112070083618


def write_scene(folder: Path, views: dict[str, int] | None = None, width: int = 16, height: int = 16) -> Path:
    """A Blender scene of noise; `views` per split (default 3, 1, 2)."""
    rng = np.random.default_rng(7)
    for split, count in (views or {"train": 3, "val": 1, "test": 2}).items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for i in range(count):
            pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"r_{i}.png", compress_level=1)
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": look_at_centre(rng).tolist()})
        write_transforms(folder, split, {"camera_angle_x": ANGLE, "frames": frames})
    return folder


def pack(folder: Path, archive: Path, top: str = "nerf_synthetic", compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive of all that is in `folder`, below the folder `top`."""
    with zipfile.ZipFile(archive, "w", compression) as stream:
        for file in sorted(folder.rglob("*")):
            stream.write(file, Path(top) / file.relative_to(folder))
    return archive


def write_llff_scene(
    folder: Path,
    views: int = 10,
    width: int = 16,
    height: int = 12,
    factors: Sequence[int] = (1,),
    suffix: str = ".png",
) -> Path:
    """An LLFF scene of noise, seen by cameras that face -z from near the origin.

    Images of `width` x `height` are in `images`, and for a factor above 1 smaller ones, of the mean, in `images_N`.
    """
    rng = np.random.default_rng(7)
    rows = []
    for _ in range(views):
        back = np.append(0.1 * rng.normal(size=2), 1)
        back /= np.linalg.norm(back)
        right = np.cross([0, 1, 0], back)
        right /= np.linalg.norm(right)
        position, intrinsics = rng.uniform(-1, 1, 3) * [1, 1, 0.2], [height, width, 1.2 * width]
        matrix = np.stack([np.cross(right, back), right, back, position, intrinsics], axis=1)
        rows.append([*matrix.ravel(), *rng.uniform([2, 10], [3, 20])])
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "poses_bounds.npy", rows)
    images = rng.integers(0, 256, (views, height, width, 3), dtype=np.uint8)
    for factor in factors:
        place = folder / (f"images_{factor}" if factor > 1 else "images")
        place.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).reduce(factor).save(place / f"{i:03d}{suffix}")
    return folder


def look_at_centre(rng: np.random.Generator) -> np.ndarray:
    """[4, 4] camera to world, 4 away from the origin and looking at it along -z."""
    azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 1.2)
    across = math.cos(elevation)
    back = np.array([math.cos(azimuth) * across, math.sin(azimuth) * across, math.sin(elevation)])
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, 4 * back], axis=1)
    return pose


def read_transforms_file(folder: Path, split: str) -> dict:
    return json.loads((folder / f"transforms_{split}.json").read_text())


def write_transforms(folder: Path, split: str, content: object) -> None:
    (folder / f"transforms_{split}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below `folder`: path -> content of a file, destination of a link, None for the rest."""

    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return str(path.readlink())
        return path.read_bytes() if path.is_file() else None

    return {str(path.relative_to(folder)): content(path) for path in sorted(folder.rglob("*"))}


def rays(scene: Scene, view: int, yx: np.ndarray) -> dict[str, np.ndarray]:
    """Rays and white-composited colours of the pixels `yx` [N, 2] (row, column), from the definition of `Scene`."""
    y, x = yx[:, 0], yx[:, 1]
    rotation, origin = scene.camtoworlds[view, :, :3], scene.camtoworlds[view, :, 3]
    pixels = np.stack([x + 0.5, y + 0.5, np.ones(len(yx))])
    directions = (rotation @ scene.pix2cams[view] @ pixels).T
    rgba = scene.images[view][y, x] / 255.0
    ones = np.ones((len(yx), 1))
    return {
        "origins": np.broadcast_to(origin, directions.shape),
        "directions": directions,
        "viewdirs": directions / np.linalg.norm(directions, axis=1, keepdims=True),
        # The distance to the same pixel of the next row.
        "radii": np.linalg.norm(rotation @ scene.pix2cams[view][:, 1]) * 2 / math.sqrt(12) * ones,
        "lossmult": scene.lossmults[view] * ones,
        "near": scene.nears[view] * ones,
        "far": scene.fars[view] * ones,
        "pixels": rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:],
    }


def cast_rays(
    scene: Scene, view: int, yx: np.ndarray, data: DataConfig | None = None, white_bkgd: bool = True
) -> dict[str, np.ndarray]:
    """Rays and colours of the pixels `yx` [N, 2] (row, column) as the network gets them, in float32."""
    y, x = torch.as_tensor(yx, dtype=torch.int64).unbind(-1)
    rays = Cameras.from_scene(scene, data=data).cast(torch.full_like(x, view), x, y)
    colours = to_rgb(integer_tensor(scene.images[view][y.numpy(), x.numpy()]), white_bkgd, scene.max_value)
    return {name: values.numpy() for name, values in vars(rays).items()} | {"pixels": colours.numpy()}
