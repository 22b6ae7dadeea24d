"""Images that a tool made smaller, in folders such as images_4 beside images: read in place of the large ones."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mipnerf.console import warn_once
from mipnerf.datasets.images import decode_image, image_size
from mipnerf.datasets.layouts import IMAGE_SUFFIXES
from mipnerf.datasets.scene import read_bytes
from mipnerf.errors import DataError

log = logging.getLogger(__name__)
IMAGES = "images"
ALIKE = 6  # of 255: mean difference to an image that was made smaller in another way, or compressed


def find_reduced(folder: Path, names: Sequence[str], sizes: np.ndarray, factor: int) -> tuple[list[str], np.ndarray]:
    """Names of all images of the capture in `folder`, and sizes [N, 2]: `factor` times smaller ones, if they are there.

    Those of images/NAME are images_FACTOR/NAME, if each is there, has the size of the large one over the factor, up to
    rounding, and the first shows the same. Else all are as they were given, and one warning says what is wrong with the
    folder, if it is there.
    """
    folders = {images_folder(name, factor) for name in names}
    if factor < 2 or None in folders or not all((folder / str(name)).is_dir() for name in folders):
        return list(names), sizes
    try:
        reduced = [reduced_name(folder, name, factor) for name in names]
        found = np.array([image_size(folder / name) for name in reduced])
        for i in np.flatnonzero((np.abs(found * factor - sizes) >= factor).any(axis=1)).tolist():
            (width, height), (whole_width, whole_height) = found[i], sizes[i]
            raise DataError(
                f"{folder / reduced[i]}: image is {width} x {height} pixels, which is not {whole_width} x "
                f"{whole_height} over {factor}"
            )
        check_alike(folder / names[0], folder / reduced[0])
    except DataError as error:
        warn_once(log, f"{error}; images are read at their full size, and made smaller")
        return list(names), sizes
    return reduced, found


def images_folder(name: str, factor: int) -> str | None:
    """images_4 for images/001.jpg, also further down; None for a name without such a folder."""
    parts = PurePosixPath(name).parts[:-1]
    if IMAGES not in parts:
        return None
    return str(PurePosixPath(*parts[: parts.index(IMAGES)], f"{IMAGES}_{factor}"))


def reduced_name(folder: Path, name: str, factor: int) -> str:
    """The reduced image of `name`, perhaps of another suffix; `DataError` where there is none."""
    parts = PurePosixPath(name).parts
    path = PurePosixPath(images_folder(name, factor) or "", *parts[parts.index(IMAGES) + 1 :])
    for suffix in dict.fromkeys((path.suffix, *IMAGE_SUFFIXES)):
        if (folder / path.with_suffix(suffix)).is_file():
            return str(path.with_suffix(suffix))
    raise DataError(f"{folder / path}: the image is missing")


def check_alike(whole: Path, reduced: Path) -> None:
    """`DataError` unless the image `reduced` shows what `whole` does."""
    small, large = (shrunk(path, image_size(reduced)) for path in (reduced, whole))
    if (off := float(np.abs(small - large).mean())) > ALIKE:
        raise DataError(f"{reduced}: the image differs from {whole} by {off:.0f} of 255 on average")


def shrunk(path: Path, size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W, 3] up to 255 of the image `path`, each pixel the mean of those that it covers."""
    pixels = decode_image(read_bytes(path), path, ("RGB", "RGBA"))[..., :3]
    values = pixels * np.float32(255 / np.iinfo(pixels.dtype).max)
    channels = [Image.fromarray(channel).resize(size, Image.Resampling.BOX) for channel in np.moveaxis(values, -1, 0)]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)
