"""The files of COLMAP's sparse models, in their two forms: rows as they are stored, unchecked but whole."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mipnerf.datasets.captures.lenses import MODELS
from mipnerf.datasets.scene import read_bytes
from mipnerf.errors import DataError

# Of camera models, by their numbers.
NUMBERS = {
    0: "SIMPLE_PINHOLE",
    1: "PINHOLE",
    2: "SIMPLE_RADIAL",
    3: "RADIAL",
    4: "OPENCV",
    5: "OPENCV_FISHEYE",
    6: "FULL_OPENCV",
    7: "FOV",
    8: "SIMPLE_RADIAL_FISHEYE",
    9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
    14: "SIMPLE_FISHEYE",
    15: "FISHEYE",
    16: "EUCM",
    17: "EQUIRECTANGULAR",
}
DAMAGED = "copy the model again, or have COLMAP write it anew"


class CameraRow(NamedTuple):
    """A camera; the parameters are in pixels, in the order of its model."""

    camera_id: int
    model: str
    width: int
    height: int
    params: tuple[float, ...]


class ImageRow(NamedTuple):
    """A photograph and its pose, world to camera: a quaternion w, x, y, z and a translation."""

    image_id: int
    qvec: tuple[float, ...]
    tvec: tuple[float, ...]
    camera_id: int
    name: str


class PointRow(NamedTuple):
    """A point, and the images [N] (int64) that see it."""

    position: tuple[float, ...]
    image_ids: np.ndarray


class Form(NamedTuple):
    """How to read each file; all raise `DataError` naming the file and the place where it is damaged."""

    cameras: Callable[[Path], Iterator[CameraRow]]
    images: Callable[[Path], Iterator[ImageRow]]
    points: Callable[[Path], Iterator[PointRow]]


class Stream:
    """Little-endian values of a file, one after the other; `DataError` where it ends too early."""

    def __init__(self, path: Path):
        self.path, self.data, self.offset = path, read_bytes(path), 0

    def take(self, form: str) -> tuple[Any, ...]:
        start = self.skip(struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{form}", self.data, start)

    def skip(self, size: int) -> int:
        """Go on by `size` bytes; where they begin."""
        start, self.offset = self.offset, self.offset + size
        if self.offset > len(self.data):
            raise DataError(f"{self.path}: damaged or truncated: ends within byte {start} and {self.offset}; {DAMAGED}")
        return start

    def text(self) -> str:
        start, end = self.offset, self.data.find(b"\0", self.offset)
        self.skip(len(self.data) if end < 0 else end + 1 - start)
        try:
            return self.data[start:end].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: damaged at byte {start}: no text ({error.reason}); {DAMAGED}") from None

    def rows(self) -> Iterator[int]:
        """The numbers of the rows that the file says it has; after the last, nothing may be left."""
        (count,) = self.take("Q")
        yield from range(count)
        if self.offset != len(self.data):
            left = len(self.data) - self.offset
            raise DataError(f"{self.path}: damaged: {left} bytes after the last of {count} entries; {DAMAGED}")


def binary_cameras(path: Path) -> Iterator[CameraRow]:
    stream = Stream(path)
    for _ in stream.rows():
        camera_id, number, width, height = stream.take("iiQQ")
        name = NUMBERS.get(number, f"number {number}")
        # The rows after one of another model are not needed: it is refused.
        count = len(MODELS.get(name, "").split())
        yield CameraRow(camera_id, name, width, height, stream.take(f"{count}d"))


def binary_images(path: Path) -> Iterator[ImageRow]:
    stream = Stream(path)
    for _ in stream.rows():
        image_id, *pose, camera_id = stream.take("i7di")
        row = ImageRow(image_id, tuple(pose[:4]), tuple(pose[4:]), camera_id, stream.text())
        (num_points,) = stream.take("Q")
        stream.skip(24 * num_points)  # x, y and the number of the point
        yield row


def binary_points(path: Path) -> Iterator[PointRow]:
    stream = Stream(path)
    for _ in stream.rows():
        _, *position, _, _, _, _, length = stream.take("Q3d3BdQ")
        start = stream.skip(8 * length)
        track = np.frombuffer(stream.data, dtype="<i4", count=2 * length, offset=start)
        yield PointRow(tuple(position), track[::2].astype(np.int64))


def text_lines(path: Path) -> list[str]:
    try:
        return read_bytes(path).decode().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: damaged: no text ({error}); {DAMAGED}") from None


def is_entry(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def text_rows(path: Path, parse: Callable[[list[str]], Any], columns: int = -1, step: int = 1) -> Iterator[Any]:
    """`parse` of the words of every entry, which takes `step` lines; the last of `columns` words may have spaces."""
    lines = text_lines(path)
    i = 0
    while i < len(lines):
        if not is_entry(lines[i]):
            i += 1
            continue
        try:
            yield parse(lines[i].strip().split(None, columns))
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}: line {i + 1} is damaged or of another form ({error}); {DAMAGED}") from None
        i += step


def whole(word: str) -> int:
    if abs(value := int(word)) >= 1 << 63:
        raise ValueError(f"{word} is too large")
    return value


def floats(words: list[str]) -> tuple[float, ...]:
    return tuple(map(float, words))


def text_cameras(path: Path) -> Iterator[CameraRow]:
    def parse(words: list[str]) -> CameraRow:
        return CameraRow(whole(words[0]), words[1], whole(words[2]), whole(words[3]), floats(words[4:]))

    yield from text_rows(path, parse)


def text_images(path: Path) -> Iterator[ImageRow]:
    def parse(words: list[str]) -> ImageRow:
        pose = floats(words[1:8])
        return ImageRow(whole(words[0]), pose[:4], pose[4:], whole(words[8]), words[9])

    # The line after each has its points, and is empty where there are none.
    yield from text_rows(path, parse, columns=9, step=2)


def text_points(path: Path) -> Iterator[PointRow]:
    def parse(words: list[str]) -> PointRow:
        track = words[8:]
        if len(track) % 2:
            raise ValueError("half an entry of its track")
        x, y, z = floats(words[1:4])
        return PointRow((x, y, z), np.array([whole(word) for word in track[::2]], dtype=np.int64))

    yield from text_rows(path, parse)


BINARY = Form(binary_cameras, binary_images, binary_points)
TEXT = Form(text_cameras, text_images, text_points)
