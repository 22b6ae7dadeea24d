"""Captures on disk as instant-ngp, nerfstudio and COLMAP write them, and the definition of their rays, for tests."""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mipnerf.datasets.captures.colmapfiles import NUMBERS
from mipnerf.datasets.captures.lenses import MODELS


@dataclass
class Toy:
    """Photographs of noise and their cameras; V views."""

    names: list[str]  # within images/
    camtoworlds: np.ndarray  # [V, 4, 4], OpenGL
    intrinsics: Sequence[float]  # fx, fy, cx, cy
    size: tuple[int, int]  # width and height
    images: list[np.ndarray] = field(default_factory=list)
    distortion: list[float] = field(default_factory=list)  # coefficients after the intrinsics, of COLMAP's model
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))  # [P, 3], seen by all


def make_toy(views: int = 10, width: int = 22, height: int = 13, channels: int = 3, suffix: str = ".png") -> Toy:
    """Cameras on a ring of radius 3 around (1, 2, 0.5), all looking at it, whose pixels are not square."""
    rng = np.random.default_rng(5)
    camtoworlds = []
    for angle in np.linspace(0, 2 * math.pi, views, endpoint=False):
        back = np.array([math.cos(angle), math.sin(angle), 0.3]) / math.hypot(1, 0.3)
        right = np.array([-math.sin(angle), math.cos(angle), 0])
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(back, right), back, [1, 2, 0.5] + 3 * back], axis=1)
        camtoworlds.append(pose)
    return Toy(
        names=[f"{i:03d}{suffix}" for i in range(views)],
        camtoworlds=np.stack(camtoworlds),
        intrinsics=(1.25 * width, 1.5 * width, 0.5 * width + 0.75, 0.5 * height - 0.5),
        size=(width, height),
        images=[rng.integers(0, 256, (height, width, channels), dtype=np.uint8) for _ in range(views)],
        points=np.array([1, 2, 0.5]) + rng.uniform(-0.5, 0.5, (40, 3)),
    )


def write_images(toy: Toy, folder: Path) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, image in zip(toy.names, toy.images, strict=True):
        Image.fromarray(image).save(folder / "images" / name)
    return folder


def transforms_of(toy: Toy, names: Sequence[str] | None = None) -> dict:
    """The content of a transforms.json of all views."""
    fx, fy, cx, cy = toy.intrinsics
    camera = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": toy.size[0], "h": toy.size[1]}
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names or toy.names, toy.camtoworlds, strict=True)
    ]
    return camera | {"frames": frames}


def write_json(folder: Path, content: object, name: str = "transforms.json") -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def world_to_camera(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quaternion w, x, y, z and translation, in COLMAP's convention, of an OpenGL pose [4, 4]."""
    rotation = (pose[:3, :3] * [1, -1, -1]).T
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    # Four times the quaternion's outer product with itself; its largest row is the quaternion, but for its length.
    outer = np.array(
        [
            [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
        ]
    )
    quaternion = outer[outer.diagonal().argmax()]
    return quaternion / np.linalg.norm(quaternion), -rotation @ pose[:3, 3]


def write_colmap(toy: Toy, folder: Path, suffix: str = ".bin", place: str = "sparse/0", model: str = "PINHOLE") -> Path:
    """A sparse model, text or binary, in which every image sees every point."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    is_square = MODELS[model].startswith("f ")
    params = [toy.intrinsics[0], *toy.intrinsics[2:]] if is_square else list(toy.intrinsics)
    params += toy.distortion
    # Numbers need not be in order, nor names.
    views = zip(toy.camtoworlds, toy.names, strict=True)
    poses = [(7 * i + 3, *world_to_camera(pose), name) for i, (pose, name) in enumerate(views)]
    write = write_binary if suffix == ".bin" else write_text
    write(folder / place, model, toy.size, params, poses[::-1], toy.points)
    return folder


def write_text(folder, model, size, params, poses, points) -> None:
    def line(*values) -> str:
        return " ".join(map(str, values))

    (folder / "cameras.txt").write_text("# Cameras\n" + line(5, model, *size, *map(float, params)) + "\n")
    rows = ["# Images", "# two lines each"]
    for number, quaternion, translation, name in poses:
        rows += [line(number, *quaternion.tolist(), *translation.tolist(), 5, name)]
        rows += [line(*(line(1.5, 2.5, i) for i in range(len(points)))) if number % 2 else ""]
    (folder / "images.txt").write_text("\n".join(rows) + "\n")
    tracks = line(*(line(number, 0) for number, *_ in poses))
    rows = [line(i, *point.tolist(), 1, 2, 3, 0.5, tracks) for i, point in enumerate(points)]
    (folder / "points3D.txt").write_text("# Points\n" + "".join(f"{row}\n" for row in rows))


def write_binary(folder, model, size, params, poses, points) -> None:
    header = struct.pack("<Qii2Q", 1, 5, {name: number for number, name in NUMBERS.items()}[model], *size)
    (folder / "cameras.bin").write_bytes(header + struct.pack(f"<{len(params)}d", *params))
    data = struct.pack("<Q", len(poses))
    for number, quaternion, translation, name in poses:
        data += struct.pack("<i7di", number, *quaternion, *translation, 5) + name.encode() + b"\0"
        seen = len(points) if number % 2 else 0
        data += struct.pack("<Q", seen) + b"".join(struct.pack("<2dq", 1.5, 2.5, i) for i in range(seen))
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(points))
    for i, point in enumerate(points):
        data += struct.pack("<Q3d3BdQ", i, *point, 1, 2, 3, 0.5, len(poses))
        data += b"".join(struct.pack("<ii", number, 0) for number, *_ in poses)
    (folder / "points3D.bin").write_bytes(data)


def directions_of(pose: np.ndarray, intrinsics: Sequence[float], yx: np.ndarray) -> np.ndarray:
    """[N, 3] float64: directions in the world of the pixels `yx` (row, column), by the definition of a pinhole."""
    fx, fy, cx, cy = intrinsics
    y, x = yx[:, 0] + 0.5, yx[:, 1] + 0.5
    camera = np.stack([(x - cx) / fx, (cy - y) / fy, -np.ones(len(yx))], axis=-1)
    return camera @ pose[:3, :3].T


def toy_of_llff(folder: Path, factor: int) -> Toy:
    """The cameras of an LLFF capture as they are in poses_bounds.npy, and the images that are reduced already."""
    rows = np.load(folder / "poses_bounds.npy")
    down, right, back, position, hwf = np.moveaxis(rows[:, :15].reshape(-1, 3, 5), -1, 0)
    camtoworlds = np.tile(np.eye(4), (len(rows), 1, 1))
    camtoworlds[:, :3] = np.stack([right, -down, back, position], axis=-1)
    paths = sorted((folder / f"images_{factor}").iterdir())
    images = [np.asarray(Image.open(path)) for path in paths]
    height, width = images[0].shape[:2]
    focal = hwf[0, 2] / factor
    return Toy([p.name for p in paths], camtoworlds, (focal, focal, width / 2, height / 2), (width, height), images)
