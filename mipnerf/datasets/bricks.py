"""The embedded dataset `bricks`: a harbour of toy bricks, made here in seconds, the same bytes on every machine.

A cottage, a lighthouse, a tower crane and a lorry on a checkered plate: studs, stripes, lattices and poles down to a
fraction of a pixel, so that the coarse levels of the multiscale dataset depend on how a network treats aliasing.
It is written in the layout of the Blender scenes of NeRF (Mildenhall et al. 2020), with their camera and distances:
`transforms_{train,val,test}.json` beside `{train,val,test}/r_0.png`, RGBA with straight alpha, world +z up.
"""

import functools
import hashlib
import json
import math
import multiprocessing
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from mipnerf.datasets.layouts import refuse_to_replace
from mipnerf.datasets.raytrace import BOX, CYLINDER, PRIMITIVE, SPHERE, Sunlight, render
from mipnerf.errors import ConfigError
from mipnerf.files import atomic_folder
from mipnerf.threads import available_cpus

CAMERA_ANGLE_X = 0.6911112070083618
TAN_HALF_ANGLE = 0.36000002589322094  # tan(CAMERA_ANGLE_X / 2), not left to a mathematical library
CAMERA_DISTANCE = 4.031128874  # as in the Blender scenes
SPLITS = ("train", "val", "test")

# World units a stud (x, y) and a plate, a third of a brick (z). The ground is 12 x 12 studs, its middle the axis.
STUD, PLATE = 0.125, 0.05
GROUND, FLOOR_Z = 12, -0.8

WHITE, IVORY, SAND, YELLOW = "#f4f4ee", "#f2e3bd", "#d9bb7b", "#f8c511"
RED, DARK_RED, ORANGE, BROWN = "#d01f1c", "#ad1a17", "#f07a13", "#6b3d20"
GREEN, LIME, TEAL, BLUE, NAVY = "#1f8a3b", "#5fb83a", "#0f8f94", "#1c62c4", "#123a6b"
PINK, GREY, BLACK = "#e2569d", "#8d9499", "#22262b"


Point = Sequence[float]  # x, y in studs, z in plates
Solid = tuple[Any, ...]  # a row of `PRIMITIVE`
Result = TypeVar("Result")


def world(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Studs, studs and plates from the ground's front left corner -> world coordinates."""
    return (x - GROUND / 2) * STUD, (y - GROUND / 2) * STUD, z * PLATE + FLOOR_Z


def _linear(color: str) -> tuple[float, ...]:
    return tuple((value / 255.0) * (value / 255.0) for value in bytes.fromhex(color[1:]))


def _solid(
    kind: int,
    a: Point,
    b: Point,
    radius: float,
    color: str,
    second: str | None = None,
    cell: Sequence[float | None] = (None, None, None),
    gloss: float = 0.25,
) -> Solid:
    """A row of `PRIMITIVE`; places, and the sides of the pattern's cells, in studs, studs and plates."""
    sides = tuple(
        math.inf if side is None else side * unit for side, unit in zip(cell, (STUD, STUD, PLATE), strict=True)
    )
    return (kind, radius * STUD, gloss, world(*a), world(*b), _linear(color), _linear(second or color), sides)


def box(low: Point, high: Point, color: str, **pattern: Any) -> list[Solid]:
    return [_solid(BOX, low, high, 0.0, color, **pattern)]


def rod(start: Point, end: Point, radius: float, color: str, **pattern: Any) -> list[Solid]:
    return [_solid(CYLINDER, start, end, radius, color, **pattern)]


def ball(centre: Point, radius: float, color: str, **pattern: Any) -> list[Solid]:
    return [_solid(SPHERE, centre, centre, radius, color, **pattern)]


def disc(x: float, y: float, z: float, radius: float, plates: float, color: str, **pattern: Any) -> list[Solid]:
    return rod((x, y, z), (x, y, z + plates), radius, color, **pattern)


def brick(x: float, y: float, z: float, wide: int, deep: int, plates: float, color: str, **pattern: Any) -> list[Solid]:
    """A box with studs; those that another brick covers do no harm."""
    solids = box((x, y, z), (x + wide, y + deep, z + plates), color, **pattern)
    for i in range(wide):
        for j in range(deep):
            solids += disc(x + i + 0.5, y + j + 0.5, z + plates, 0.3, 0.5, color, gloss=0.4)
    return solids


def ground() -> list[Solid]:
    quay = box((0, 0, 0), (12, 12, 1), NAVY, second=BLUE, cell=(0.5, 0.5, 0.5))
    return quay + box((0.25, 0.25, 1), (11.75, 11.75, 1.5), IVORY, second=TEAL, cell=(0.5, 0.5, None), gloss=0.1)


def cottage() -> list[Solid]:
    """Walls of two-tone bricks, a stepped roof of red studs, glazing bars and a striped chimney."""
    solids = box((1.5, 5.5, 1.5), (7.5, 10.5, 11.5), IVORY, second=SAND, cell=(1, 1, 2), gloss=0.1)
    solids += box((1.3, 5.3, 1.5), (7.7, 10.7, 2.3), GREY)
    for step, shade in enumerate((RED, DARK_RED, RED)):
        solids += brick(1, 5 + step, 11.5 + 3 * step, 7, 6 - 2 * step, 3, shade)
    solids += box((2, 9, 17), (3, 10, 23.5), WHITE, second=RED, cell=(None, None, 1))
    solids += disc(2.5, 9.5, 23.5, 0.3, 1, BLACK)
    solids += box((4, 5.4, 2), (5, 5.6, 8), BLUE, second=NAVY, cell=(0.125, None, None)) + ball(
        (4.8, 5.35, 5), 0.08, YELLOW
    )
    for x, y in ((2, 5.5), (5.75, 5.5), (2.2, 10.5), (4, 10.5), (5.8, 10.5)):
        solids += window((x, y, 5), along=0)
    for y in (6.4, 8.4):
        solids += window((7.5, y, 5), along=1) + window((1.5, y, 5), along=1)
    return solids


def window(corner: Point, along: int) -> list[Solid]:
    """A blue pane, 1.25 studs by 4 plates, with white bars, across the wall through `corner` along x (0) or y (1)."""

    def slab(start: float, end: float, bottom: float, top: float, depth: float, color: str) -> list[Solid]:
        low, high = list(corner), list(corner)
        low[along], high[along] = corner[along] + start, corner[along] + end
        low[1 - along], high[1 - along] = corner[1 - along] - depth, corner[1 - along] + depth
        low[2], high[2] = corner[2] + bottom, corner[2] + top
        return box(low, high, color, gloss=0.6)

    solids = slab(0, 1.25, 0, 4, 0.05, NAVY) + slab(-0.15, 1.4, -0.4, 0, 0.25, WHITE)
    for middle in (0.05, 0.625, 1.2):
        solids += slab(middle - 0.05, middle + 0.05, 0, 4, 0.12, WHITE)
    for middle in (2, 3.9):
        solids += slab(0, 1.25, middle - 0.12, middle + 0.12, 0.12, WHITE)
    return solids


def lighthouse(x: float = 9.6, y: float = 9.4) -> list[Solid]:
    """Red and white stages, a gallery with a railing, the lantern and a striped flag on a hair-thin mast."""
    solids = disc(x, y, 1.5, 1.9, 2, GREY) + disc(x, y, 3.5, 1.65, 1, SAND)
    for stage in range(6):
        solids += disc(x, y, 4.5 + 4 * stage, 1.45 - 0.09 * stage, 4, (RED, WHITE)[stage % 2])
    solids += box((x - 0.3, y - 1.5, 4.5), (x + 0.3, y - 1.3, 8.5), NAVY)
    solids += disc(x, y, 28.5, 1.35, 0.6, BLACK) + disc(x, y, 29.1, 0.6, 3.4, YELLOW, gloss=0.8)
    # Twelve directions in multiples of 30 degrees.
    for i, j in ((1, 0), (0.866, 0.5), (0.5, 0.866)):
        for right, back in ((i, j), (-j, i), (-i, -j), (j, -i)):
            solids += disc(x + 1.25 * right, y + 1.25 * back, 29.1, 0.05, 1.8, WHITE)
            solids += disc(x + 0.66 * right, y + 0.66 * back, 29.1, 0.04, 3.4, BLACK)
    for step in range(3):
        solids += disc(x, y, 32.5 + 0.8 * step, 0.9 - 0.27 * step, 0.8, DARK_RED)
    solids += disc(x, y, 34.9, 0.04, 4.3, GREY) + ball((x, y, 39.2), 0.1, YELLOW)
    flag = box((x - 1.7, y - 0.03, 36), (x, y + 0.03, 39), WHITE, second=BLUE, cell=(None, None, 0.5))
    return solids + flag


def crane(x: float = 10.2, y: float = 2.2) -> list[Solid]:
    """A lattice mast and jib of thin rods, a counterweight, and a brick on a cable."""
    thin, thick, half = 0.05, 0.09, 0.4
    solids = brick(9, 1, 1.5, 2, 2, 3, GREY)
    corners = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    for corner in corners:
        solids += rod((*corner, 4.5), (*corner, 28), thick, YELLOW)
    for level, z in enumerate(range(5, 26, 3)):
        for side in range(4):
            first, second = corners[side], corners[(side + 1) % 4]
            start, end = (first, second) if level % 2 else (second, first)
            solids += rod((*start, z), (*end, z + 3), thin, YELLOW)
    solids += box((x - 0.55, y - 0.55, 27.5), (x + 0.55, y + 0.55, 30), ORANGE)
    solids += box((x - 0.6, y - 0.57, 28.3), (x - 0.2, y + 0.57, 29.6), NAVY, gloss=0.8)
    # The jib runs to the left, its triangle of chords narrowing to the mast's top.
    tip, tail = x - 7.6, x + 1.7
    for across in (-half, half):
        solids += rod((tip, y + across, 30), (tail, y + across, 30), thick, YELLOW)
    solids += rod((tip, y, 32.5), (x, y, 32.5), thin, YELLOW)
    for left in (tip + 0.76 * i for i in range(10)):
        for across in (-half, half):
            solids += rod((left, y + across, 30), (left + 0.38, y, 32.5), thin, YELLOW)
            solids += rod((left + 0.38, y, 32.5), (left + 0.76, y + across, 30), thin, YELLOW)
    solids += disc(x, y, 30, 0.1, 7, YELLOW) + ball((x, y, 37), 0.16, RED)
    for anchor in (tip + 2, tail):
        solids += rod((x, y, 37), (anchor, y, 32.5 if anchor < x else 30), 0.03, BLACK)
    solids += brick(11, 2, 27, 1, 1, 3, GREY)
    return solids + load(4.5, y)


def load(x: float, y: float) -> list[Solid]:
    """The brick that hangs above the lorry: trolley, cable, hook and slings."""
    solids = box((x - 0.4, y - 0.5, 29.2), (x + 0.4, y + 0.5, 30), BLACK) + disc(x, y, 19, 0.03, 10.5, BLACK)
    solids += ball((x, y, 19), 0.17, ORANGE) + box((x - 1, y - 0.5, 12), (x + 1, y + 0.5, 15), PINK)
    for i in (-0.5, 0.5):
        solids += disc(x + i, y, 15, 0.3, 0.5, PINK, gloss=0.4) + rod((x, y, 19), (x + 2 * i, y, 15), 0.03, BLACK)
    return solids


def lorry(x: float = 3.4, y: float = 1.3) -> list[Solid]:
    """Blue cab, flat bed with two bricks, six wheels with hubs."""
    solids = box((x, y, 2.8), (x + 5, y + 1.8, 3.6), BLACK) + box((x + 1.7, y - 0.1, 3.6), (x + 5, y + 1.9, 4.2), GREY)
    solids += box((x, y, 3.6), (x + 1.4, y + 1.8, 6), BLUE, gloss=0.5)
    solids += box((x + 0.3, y + 0.1, 6), (x + 1.4, y + 1.7, 8.2), WHITE, second=NAVY, cell=(None, 0.4, None), gloss=0.8)
    solids += box((x + 0.2, y, 8.2), (x + 1.4, y + 1.8, 8.8), BLUE) + disc(x + 0.8, y + 0.9, 8.8, 0.25, 0.8, ORANGE)
    solids += brick(6, 1, 4.2, 2, 2, 2, LIME) + brick(6, 2, 6.2, 1, 1, 3, ORANGE)
    for side in (0.4, 1.4):
        solids += ball((x, y + side, 4.4), 0.17, YELLOW, gloss=0.8)
    for axle in (0.7, 3.1, 4.3):
        for near, far in ((-0.15, 0.25), (1.55, 1.95)):
            solids += rod((x + axle, y + near, 2.9), (x + axle, y + far, 2.9), 0.5, BLACK, gloss=0.1)
        solids += rod((x + axle, y - 0.2, 2.9), (x + axle, y + 2, 2.9), 0.22, YELLOW)
    return solids


def garden() -> list[Solid]:
    """A fir with a star, a fence of thin white poles on two sides, barrels and a striped bollard."""
    x, y = 1.8, 2.6
    solids = disc(x, y, 1.5, 0.25, 3, BROWN)
    for tier in range(5):
        solids += disc(x, y, 4 + 2.2 * tier, 1.3 - 0.25 * tier, 1.4, (GREEN, LIME)[tier % 2], gloss=0.1)
        solids += disc(x, y, 5.4 + 2.2 * tier, 0.5 - 0.08 * tier, 0.8, BROWN)
    solids += ball((x, y, 16.3), 0.3, YELLOW)
    for i in range(23):
        solids += disc(0.5, 0.6 + 0.5 * i, 1.5, 0.06, 3.2, WHITE)
    for i in range(1, 14):
        solids += disc(0.5 + 0.5 * i, 11.6, 1.5, 0.06, 3.2, WHITE)
    for z in (2.6, 4):
        solids += rod((0.5, 0.6, z), (0.5, 11.6, z), 0.05, WHITE) + rod((0.5, 11.6, z), (7, 11.6, z), 0.05, WHITE)
    for x, y in ((9.3, 5.6), (10.1, 5.9), (9.8, 5.1)):
        solids += disc(x, y, 1.5, 0.36, 2.6, BROWN, second=ORANGE, cell=(None, None, 0.65))
    return (
        solids
        + disc(11.2, 6.8, 1.5, 0.2, 5, BLACK, second=YELLOW, cell=(None, None, 0.8))
        + ball((11.2, 6.8, 6.7), 0.28, RED)
    )


def build_scene() -> np.ndarray:
    """The primitives of the scene, [K] `PRIMITIVE`; all within 1.4 of the origin."""
    return np.array(ground() + cottage() + lighthouse() + crane() + lorry() + garden(), dtype=PRIMITIVE)


def look_at_origin(azimuth: float, sine: float) -> np.ndarray:
    """The camtoworld [4, 4] of a camera at `CAMERA_DISTANCE` that looks at the origin, world +z up in the image.

    Args:
      azimuth: in turns, from +x towards +y.
      sine: of the elevation above the xy plane, in (-1, 1).
    """
    c, s = math.cos(2 * math.pi * azimuth), math.sin(2 * math.pi * azimuth)
    cosine = math.sqrt(1 - sine * sine)
    back = [cosine * c, cosine * s, sine]
    right, up = [-s, c, 0.0], [-sine * c, -sine * s, cosine]
    rows = [[*axes, CAMERA_DISTANCE * axes[2]] for axes in zip(right, up, back, strict=True)]
    # Digits beyond the ninth may differ between mathematical libraries; + 0.0 turns -0.0 into 0.0.
    return np.array([[round(value, 9) + 0.0 for value in row] for row in [*rows, [0.0, 0.0, 0.0, 1.0]]])


def camera_poses(split: str, count: int) -> list[np.ndarray]:
    """The `count` poses of a split: an orbit that rises and sinks for `test`, else spread over the upper hemisphere.

    The spread is Roberts' R2 sequence, even in area for every number of views; `val` uses a later piece of it.
    """
    if split == "test":
        turns = [i / count for i in range(count)]
        return [look_at_origin(turn, 0.5 - 0.28 * math.cos(2 * math.pi * turn)) for turn in turns]
    first = {"train": 1, "val": 10_001}[split]
    lowest, highest = 0.09, 0.98  # 5 and 79 degrees
    return [
        look_at_origin(0.7548776662466927 * i % 1, lowest + (highest - lowest) * (0.5698402909980532 * i % 1))
        for i in range(first, first + count)
    ]


def encode_png(image: np.ndarray) -> bytes:
    """uint8 [H, W, 4] -> PNG. Uncompressed, as the bytes of a compressed one would depend on the zlib at hand."""
    height, width, _ = image.shape
    raw = b"".join(b"\0" + row.tobytes() for row in image)  # each line behind the number of its filter, none
    blocks = [raw[start : start + 65535] for start in range(0, len(raw), 65535)]
    stored = b"".join(
        struct.pack("<BHH", i == len(blocks) - 1, len(block), 65535 - len(block)) + block
        for i, block in enumerate(blocks)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pixels = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(raw))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _transforms(split: str, poses: list[np.ndarray]) -> dict[str, Any]:
    """The content of `transforms_{split}.json`; `rotation` is unused, as in the Blender scenes."""
    frames = [
        {"file_path": f"./{split}/r_{i}", "rotation": 0.0, "transform_matrix": pose.tolist()}
        for i, pose in enumerate(poses)
    ]
    return {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}


def _manifest(folder: Path) -> dict[str, Any]:
    """Path, size and SHA-256 of every file in `folder`, sorted by path."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    contents = ((name, (folder / name).read_bytes()) for name in names)
    files = [{"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents]
    return {"source": "bricks", "files": files}


@functools.cache
def _scene_and_sunlight() -> tuple[np.ndarray, Sunlight]:
    scene = build_scene()
    return scene, Sunlight(scene)


def _make_view(path: Path, pose: np.ndarray, size: int, samples: int) -> None:
    scene, sunlight = _scene_and_sunlight()
    path.write_bytes(encode_png(render(scene, sunlight, pose, TAN_HALF_ANGLE, size, samples)))


def _end_with_parent() -> None:
    """Let a worker end when the parent was killed, instead of waiting for work for ever."""

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(parent: BaseProcess = parent) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call_each(function: Callable[..., Result], tasks: list[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Yield `function(*task)` of all tasks; by processes, as numpy's calls are too short here for threads to pay."""
    if workers == 1:
        yield from (function(*task) for task in tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), spawn, initializer=_end_with_parent) as pool:
        yield from pool.map(function, *zip(*tasks, strict=True))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_bytes((json.dumps(content, indent=2) + "\n").encode())


def render_bricks(
    target: Path,
    size: int = 128,
    num_train: int = 60,
    num_val: int = 4,
    num_test: int = 12,
    samples: int = 4,
    workers: int | None = None,
) -> None:
    """Render the dataset into the folder `target`, atomically: a folder of that name is replaced at the end.

    The same arguments give the same bytes on every machine, whatever `workers`.

    Args:
      target: the folder to make.
      size: width and height of the images in pixels.
      num_train, num_val, num_test: views a split.
      samples: rays a pixel and axis.
      workers: processes; None takes one a CPU. With more than one, a script that calls this needs the usual
        `if __name__ == "__main__":`.

    Raises:
      ConfigError: a number is not a whole number of at least 1.
      DataError: `target` holds something else than a scene.
    """
    workers = available_cpus() if workers is None else workers
    counts = dict(zip(SPLITS, (num_train, num_val, num_test), strict=True))
    numbers = {"size": size, "samples": samples, "workers": workers} | {f"num_{s}": n for s, n in counts.items()}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"bricks: {name} is {value!r}; give a whole number of at least 1.")

    target = Path(target)
    refuse_to_replace(target)
    with atomic_folder(target) as folder:
        views = []
        for split, count in counts.items():
            (folder / split).mkdir()
            poses = camera_poses(split, count)
            _write_json(folder / f"transforms_{split}.json", _transforms(split, poses))
            views += [(folder / split / f"r_{i}.png", pose, size, samples) for i, pose in enumerate(poses)]
        for _ in tqdm(_call_each(_make_view, views, workers), total=len(views), desc="bricks", unit="view"):
            pass
        _write_json(folder / "manifest.json", _manifest(folder))
