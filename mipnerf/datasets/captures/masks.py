"""Masks of photographs: images of the same size, black where a pixel is not to count."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mipnerf.datasets.images import check_size, decode_image
from mipnerf.datasets.scene import cropped, read_bytes, whole_boxes
from mipnerf.errors import DataError

FOLDER, SUFFIX = "masks", ".png"


def find_mask(folder: Path, image: str) -> str | None:
    """The mask of the photograph `image`, both relative to the capture, in its folder `masks`, if there.

    It has the image's name, with .png behind it (as COLMAP has it) or in place of its suffix.
    """
    name = PurePosixPath(image)
    inner = PurePosixPath(*name.parts[1:]) if len(name.parts) > 1 else name
    for path in dict.fromkeys((name, inner)):
        for candidate in (f"{path}{SUFFIX}", str(path.with_suffix(SUFFIX))):
            if os.path.isfile(folder / FOLDER / candidate):
                return f"{FOLDER}/{candidate}"
    return None


def read_mask(path: Path, size: Sequence[int], whole_size: Sequence[int]) -> np.ndarray:
    """bool [H, W] of the width and height `size`: where the mask in `path` is not black.

    Beside images that are reduced it may have their `whole_size`; then a pixel counts if all that it covers do. Raises
    `DataError` for an image of another size.
    """
    pixels = decode_image(read_bytes(path), path)
    (width, height), is_whole = map(int, size), pixels.shape[1::-1] == tuple(map(int, whole_size))
    mask = pixels.any(axis=-1)
    if is_whole and mask.shape != (height, width):
        share = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
        return np.asarray(np.asarray(share) > 1 - 1e-5)
    check_size(pixels, path, width, height)
    return np.asarray(mask)


def mask_levels(
    masks: Sequence[np.ndarray | None],
    size: Sequence[int],
    reduction: int,
    num_levels: int,
    levels: Sequence[int] | np.ndarray,
    where: str,
) -> list[np.ndarray]:
    """The pyramid of what all `masks` [H, W] (None: everything) show; a smaller pixel counts if all that it covers do.

    `DataError`, begun by `where`, if no pixel is left of a level.
    """
    width, height = map(int, size)
    mask = np.broadcast_to(np.True_, (height, width))
    for each in masks:
        mask = mask if each is None else mask & each
    mask = cropped(mask, reduction * 2 ** (num_levels - 1))
    pyramid = [whole_boxes(mask, reduction * 2**level) for level in levels]
    for level, part in zip(levels, pyramid, strict=True):
        if not part.any():
            raise DataError(f"{where}: its mask or lens leaves no pixel at 1/{2**level}; remove the photograph or mask")
    return pyramid
