"""Pixels of image files: our own, which are strict, and photographs in whatever form a program left them."""

import io
import logging
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mipnerf.console import warn_once
from mipnerf.datasets.scene import read_bytes
from mipnerf.datasets.signatures import describe
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
BITS_PER_SAMPLE = 258  # TIFF's tag
PNG_START = b"\x89PNG"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
PHOTOGRAPHS = ("PNG", "JPEG", "WEBP", "TIFF")  # as Pillow calls them
KINDS = "PNG, JPEG, WebP or TIFF"
# Modes of Pillow with at most 8 bits a channel, of which colours are made: palettes, grey, and those of printers.
CONVERTED = ("1", "L", "LA", "P", "PA", "CMYK", "YCbCr")
# Pillow has colours of 16 bits as 8: those of the first byte as it unpacks the file's, or of the second as the other.
DEEP_COLOURS = ("RGB;16", "RGBA;16")
BYTE_ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


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
    """[H, W, C] of the photograph `data`, a PNG, JPEG, WebP or TIFF file: uint8, or uint16 where it has 16 bits.

    Grey, palettes and CMYK become colours, with alpha where the file has some and `modes` take it. Pixels are as they
    are stored, which is what cameras refer to: not rotated by a camera's note, of which a warning tells.

    Raises `DataError` naming `path` and what the file is. A JPEG has no checksums, so only damage that stops its
    decoding is noticed.
    """
    try:
        if data.startswith(PNG_START):
            check_png(data)
        with Image.open(io.BytesIO(data), formats=PHOTOGRAPHS) as image:
            kind, mode, frames, alpha = image.format, image.mode, image_frames(image), image.has_transparency_data
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
            if is_deep(image, data):
                mode, pixels = f"{mode} of 16 bits", deep_pixels(image, data)
            elif mode in CONVERTED:
                pixels = np.array(image.convert("RGBA" if alpha and "RGBA" in modes else "RGB"))
            else:
                pixels = np.array(image) if mode in ("RGB", "RGBA") else None
    except DECODE_ERRORS as error:
        raise not_an_image(data, path, error) from None
    if frames > 1:
        raise DataError(f"{path}: a {kind} file of {frames} pictures; a photograph has one")
    if pixels is None or pixels.shape[2] > max(map(len, modes)):
        raise DataError(
            f"{path}: a {kind} file whose pixels are {mode}; allowed are {' and '.join(modes)}, grey, palettes and "
            "CMYK, with 8 bits a channel, or 16 but for the last two"
        )
    if is_turned:
        warn_once(
            log,
            f"{path.parent}: photographs have a note (EXIF) that they are to be turned; they are taken as they are "
            "stored, which is what cameras refer to",
        )
    return pixels


def not_an_image(data: bytes, path: Path, error: Exception) -> DataError:
    """What there is to say of the file `path` with the content `data`, which cannot be decoded."""
    what = describe(data)
    if any(kind.casefold() in what.casefold() for kind in PHOTOGRAPHS):
        what += " with damage"
    if not isinstance(error, UnidentifiedImageError):  # which says no more
        what += f" ({error})"
    return DataError(
        f"{path}: not a whole, undamaged {KINDS} image, but {what}; fetch it anew, repair it, or export it as JPEG"
    )


def image_frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1))


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether the file with the content `data`, opened as `image`, has 16 bits a channel."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
        return 16 in (bits if isinstance(bits, tuple) else (bits,))
    return image.format == "PNG" and data[PNG_BIT_DEPTH] == 16


def deep_pixels(image: Image.Image, data: bytes) -> np.ndarray | None:
    """uint16 [H, W, 3 or 4] of an `image` of 16 bits, with the content `data`; None where it has other channels."""
    if "transparency" in image.info:  # of one colour
        return None
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):  # as older releases have it
        return np.repeat(np.array(image).astype(np.uint16)[..., None], 3, axis=-1)
    if image.mode not in ("RGB", "RGBA"):
        return None
    with Image.open(io.BytesIO(data), formats=[image.format or ""]) as unread:
        unpacking = unpacking_of(unread)
        if unpacking == "LA;16B":
            set_unpacking(unread, "RGBA")  # the four bytes of a pixel
            gray, alpha = np.moveaxis(np.array(unread).view(">u2").astype(np.uint16), -1, 0)
            return np.stack([gray, gray, gray, alpha], axis=-1)
        name, order = unpacking[:-1], unpacking[-1]
        if name not in DEEP_COLOURS or order not in BYTE_ORDERS:
            return None
        set_unpacking(unread, name + BYTE_ORDERS[order])
        high, low = np.array(image).astype(np.uint16), np.array(unread)
    return high << 8 | low


def unpacking_of(image: Image.Image) -> str:
    """Pillow's name for what the bytes of a file are whose pixels are not read yet."""
    arguments = image.tile[0][3]  # type: ignore[attr-defined]
    return str(arguments if isinstance(arguments, str) else arguments[0])


def set_unpacking(image: Image.Image, name: str) -> None:
    """Have Pillow take these bytes for others."""

    def changed(tile: Any) -> Any:
        arguments = name if isinstance(tile[3], str) else (name, *tile[3][1:])
        return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)

    image.tile = [changed(tile) for tile in image.tile]  # type: ignore[attr-defined]


def check_png(data: bytes) -> None:
    """One of `DECODE_ERRORS` for a PNG whose end is missing or whose checksums are wrong: Pillow does without both."""
    if PNG_END not in data:
        raise EOFError("the end is missing")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def image_size(path: Path) -> tuple[int, int]:
    """Width and height that the header of a photograph states; `DataError` if it has none."""
    try:
        with Image.open(path, formats=PHOTOGRAPHS) as image:
            return image.size
    except DECODE_ERRORS as error:
        raise not_an_image(read_bytes(path), path, error) from None


def check_size(pixels: np.ndarray, path: Path, width: int, height: int) -> None:
    """`DataError` unless the image [H, W, C] read from `path` has the size that the scene needs."""
    if pixels.shape[:2] != (height, width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise DataError(f"{path}: image is {found} pixels, expected {width} x {height} as in the rest of the scene")
