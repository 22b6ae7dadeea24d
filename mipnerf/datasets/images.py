"""Pixels of image files: our own, which are strict, and photographs in whatever form a program left them."""

import io
import logging
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from mipnerf.datasets.scene import read_bytes
from mipnerf.errors import DataError

log = logging.getLogger(__name__)
# What Pillow raises for a damaged file depends on where the damage is.
DECODE_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
)
DECODE_ERRORS += (struct.error, zlib.error, Image.DecompressionBombError)
PNG_BIT_DEPTH = 24  # offset in the file; Pillow cuts 16 bits to 8 without a word
PNG_START = b"\x89PNG"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
PHOTOGRAPHS = ("PNG", "JPEG", "WEBP", "TIFF")  # as Pillow calls them
KINDS = "PNG, JPEG, WebP or TIFF"
# Modes of Pillow with at most 8 bits a channel, of which colours are made: palettes, grey, and those of printers.
CONVERTED = ("1", "L", "LA", "P", "PA", "CMYK", "YCbCr")


def decode_png(data: bytes, path: Path, modes: Sequence[str] = ("RGBA", "RGB")) -> np.ndarray:
    """uint8 [H, W, C] of the PNG `data`, straight alpha if any; `path` only names it in a `DataError`."""
    try:
        check_png(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            mode, pixels = image.mode, np.array(image)
    except DECODE_ERRORS as error:
        raise DataError(
            f"{path}: not a whole, undamaged PNG image ({len(data)} bytes; {error}); fetch or convert the scene anew"
        ) from None
    if mode not in modes:
        raise DataError(f"{path}: pixels are {mode}, allowed is {' or '.join(modes)} with 8 bits a channel")
    if data[PNG_BIT_DEPTH] != 8:
        raise DataError(f"{path}: pixels have {data[PNG_BIT_DEPTH]} bits a channel, allowed is 8")
    return pixels


def read_gray(path: Path) -> np.ndarray:
    """uint8 or uint16 [H, W] of a PNG with one channel; `DataError` naming `path`."""
    data = read_bytes(path)
    try:
        check_png(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.array(image)
    except DECODE_ERRORS as error:
        raise DataError(f"{path}: not a whole, undamaged PNG image ({error}); make it again") from None
    if pixels.ndim != 2:
        raise DataError(f"{path}: has {pixels.ndim} dimensions, but must have one channel")
    return pixels


def decode_image(data: bytes, path: Path, modes: Sequence[str] = ("RGB",)) -> np.ndarray:
    """uint8 [H, W, C] of the photograph `data`, a PNG, JPEG, WebP or TIFF file, in one of `modes`.

    Grey, palettes and CMYK become colours, with alpha where the file has some and `modes` take it. Pixels are as they
    are stored, which is what cameras refer to: not rotated by a camera's note, of which a warning tells.

    Raises `DataError` naming `path` and what the file is. A JPEG has no checksums, so only damage that stops its
    decoding is noticed.
    """
    try:
        if data.startswith(PNG_START):
            check_png(data)
        with Image.open(io.BytesIO(data), formats=PHOTOGRAPHS) as image:
            kind, mode, frames = image.format, image.mode, getattr(image, "n_frames", 1)
            if is_deep := data.startswith(PNG_START) and data[PNG_BIT_DEPTH] == 16:
                mode = f"{mode} of 16 bits"
            alpha = image.has_transparency_data
            picture = image.convert("RGBA" if alpha and "RGBA" in modes else "RGB") if mode in CONVERTED else image
            pixels = np.array(picture)
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except DECODE_ERRORS as error:
        raise DataError(
            f"{path}: not a whole, undamaged {KINDS} image ({error}); fetch the scene anew, or repair it"
        ) from None
    if frames > 1:
        raise DataError(f"{path}: a {kind} file of {frames} pictures; a photograph has one")
    if is_deep or picture.mode not in modes:
        raise DataError(
            f"{path}: a {kind} file whose pixels are {mode}; allowed are {' and '.join(modes)}, grey, palettes and "
            "CMYK, with 8 bits a channel"
        )
    if is_turned:
        _warn_of_orientation(path.parent)
    return pixels


def check_png(data: bytes) -> None:
    """One of `DECODE_ERRORS` for a PNG whose end is missing or whose checksums are wrong: Pillow does without both."""
    if PNG_END not in data:
        raise EOFError("the end is missing")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


@cache  # one warning for a folder
def _warn_of_orientation(folder: Path) -> None:
    log.warning(
        "%s: photographs have a note (EXIF) that they are to be turned; they are taken as they are stored, which is "
        "what cameras refer to",
        folder,
    )


def image_size(path: Path) -> tuple[int, int]:
    """Width and height that the header of a photograph states; `DataError` if it has none."""
    try:
        with Image.open(path, formats=PHOTOGRAPHS) as image:
            return image.size
    except DECODE_ERRORS as error:
        raise DataError(f"{path}: not a {KINDS} image ({error}); fetch the scene anew, or repair it") from None


def check_size(pixels: np.ndarray, path: Path, width: int, height: int) -> None:
    """`DataError` unless the image [H, W, C] read from `path` has the size that the scene needs."""
    if pixels.shape[:2] != (height, width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise DataError(f"{path}: image is {found} pixels, expected {width} x {height} as in the rest of the scene")
