"""Photographs at all their levels, with one scale of values and as many channels each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mipnerf.datasets.convert import coarser_levels
from mipnerf.datasets.images import check_size, decode_image
from mipnerf.datasets.scene import box_sum, cropped, read_bytes
from mipnerf.errors import DataError

DEEP = 65535  # what stands for 1 in images of 16 bits


class Pyramid(NamedTuple):
    """Levels of one photograph."""

    images: list[np.ndarray]  # uint8 or uint16 [H, W, C]
    max_value: int  # what stands for 1


def read_levels(
    path: Path,
    size: Sequence[int],
    reduction: int,
    num_levels: int,
    levels: Sequence[int] | np.ndarray,
    modes: Sequence[str] = ("RGB",),
) -> Pyramid:
    """The `levels` of the pyramid of one image: uint8, or uint16 sums where the file is reduced.

    Of a file of 16 bits all are means, in 16 bits. `size` is the width and height that it has to have. All levels show
    the part that all of `num_levels` can.
    """
    pixels = decode_image(read_bytes(path), path, modes)
    width, height = map(int, size)
    check_size(pixels, path, width, height)
    multiple = reduction * 2 ** (num_levels - 1)
    pixels = cropped(pixels, multiple)
    if pixels.size == 0:
        raise DataError(f"{path}: {width} x {height} pixels are too few to be reduced {multiple} times")
    if pixels.dtype == np.uint16:
        boxes = [reduction * 2**level for level in range(num_levels)]
        pyramid = [rounded_quotient(box_sum(pixels, box, np.uint64), box**2) for box in boxes]
        return Pyramid([pyramid[level] for level in levels], DEEP)
    if reduction == 1:
        pyramid = [pixels, *coarser_levels(pixels, int(max(levels)) + 1)]
    else:
        pixels = box_sum(pixels, reduction)
        # Means of the sums, cut off to whole numbers as the 8-bit levels are.
        pyramid = [(box_sum(pixels, 2**level, np.uint32) // 4**level).astype(np.uint16) for level in range(num_levels)]
    return Pyramid([pyramid[level] for level in levels], 255 * reduction**2)


def equalised(pyramids: Sequence[Pyramid]) -> Pyramid:
    """All images of `pyramids`, one after the other, with one scale and as many channels each.

    Beside images of 16 bits the others become such; where one has alpha, the others are made opaque.
    """
    is_deep = any(pyramid.max_value == DEEP for pyramid in pyramids)
    max_value = DEEP if is_deep else pyramids[0].max_value
    images = [
        image
        if pyramid.max_value == max_value
        else rounded_quotient(image.astype(np.uint64) * max_value, pyramid.max_value)
        for pyramid in pyramids
        for image in pyramid.images
    ]
    if len({image.shape[2] for image in images}) > 1:
        opaque = ((0, 0), (0, 0), (0, 1))
        images = [np.pad(i, opaque, constant_values=max_value) if i.shape[2] == 3 else i for i in images]
    return Pyramid(images, max_value)


def rounded_quotient(values: np.ndarray, divisor: int) -> np.ndarray:
    """uint16: uint64 `values` over `divisor`, to the nearest."""
    return np.asarray((values + divisor // 2) // divisor).astype(np.uint16)
