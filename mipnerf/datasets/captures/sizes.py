"""Images that were scaled after their cameras were found."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mipnerf.datasets.images import image_size
from mipnerf.errors import DataError

MAX_DENOMINATOR = 1000  # of a factor that is told


def fit_cameras(
    paths: Sequence[Path], intrinsics: np.ndarray, sizes: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [K, 4] and sizes [K, 2] in pixels of the files `paths`, which are `scale` times as large as they say.

    A side that was rounded to whole pixels has the ratio of its own. Raises `DataError` for an image of another size.
    """
    if scale == 1:
        return intrinsics, sizes
    found = np.array([image_size(path) for path in paths])
    for i in np.flatnonzero((np.abs(found - sizes * scale) >= 1).any(axis=1)).tolist():
        (width, height), (stated_width, stated_height) = found[i], sizes[i]
        raise DataError(
            f"{paths[i]}: image is {width} x {height} pixels, expected {stated_width * scale:g} x "
            f"{stated_height * scale:g}, which is data.camera_scale {scale:g} times the {stated_width} x "
            f"{stated_height} of its camera; set that to the factor by which all images were scaled"
        )
    return intrinsics * np.tile(found / sizes, 2), found


def refuse_common_factor(paths: Sequence[Path], sizes: np.ndarray, first: int = 0) -> None:
    """`DataError` with the factor and what to do, if all images are larger or smaller by one than their cameras say.

    Nothing but the image `first` is looked at where that has its size.
    """
    try:
        if image_size(paths[first]) == tuple(sizes[first]):
            return
        found = np.array([image_size(path) for path in paths])
    except DataError:
        return  # decoding it says more
    factor = common_factor(found, sizes)
    if factor is not None:
        (width, height), (stated_width, stated_height) = found[0], sizes[0]
        raise DataError(
            f"{paths[0]}: image is {width} x {height} pixels, {factor:.6g} times the {stated_width} x {stated_height} "
            f"of its camera, and so are all: set data.camera_scale to {factor:.6g}, or put the original images there"
        )


def common_factor(found: np.ndarray, sizes: np.ndarray) -> float | None:
    """The simplest number other than 1 of which all sides `found` [K, 2] are the multiples of `sizes`, if rounded."""
    low, high = ((found - 1) / sizes).max(), ((found + 1) / sizes).min()
    if not low < high or low <= 1 <= high:
        return None
    for denominator in range(1, MAX_DENOMINATOR):
        numerator = math.floor(low * denominator) + 1
        if low < (factor := numerator / denominator) < high:
            return factor
    return float(low + high) / 2
