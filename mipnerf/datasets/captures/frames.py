"""Frames of a video: the sharpest of each of as many parts of equal length, decoded one at a time."""

import logging
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from mipnerf.errors import DataError
from mipnerf.thirdparty import require_package

LOOK_SIDE = 480  # pixels of the longer side at which sharpness is measured
JPEG_QUALITY = 95  # a video has lost more already
# Of frames as they are stored: none is repeated or left out for the sake of an even rate.
AS_STORED = ("-fps_mode", "passthrough")
DECODING_ERRORS = (OSError, RuntimeError, ValueError, LookupError, AssertionError)


def extract_frames(video: Path, count: int, folder: Path) -> tuple[list[str], int]:
    """Write `count` frames of `video` to `folder` as frame_00012.jpg, whose number is that of the frame.

    Returns their names, and how many frames the video has; where these are fewer than `count`, all are taken. Raises
    `DataError` for a video that cannot be read, `ConfigError` where ffmpeg is missing.
    """
    sharpness = np.array(list(measure(video)))
    if len(sharpness) == 0:
        raise DataError(f"{video}: no frame of the video can be read; copy it again, or convert it to MP4")
    chosen = sharpest(sharpness, count)
    expression = "+".join(f"eq(n,{i})" for i in chosen)
    frames = decode(video, "rgb24", 3, ["-vf", f"select='{expression}'"])
    names = []
    for index, frame in zip(chosen, tqdm(frames, desc="frames", total=len(chosen), disable=None), strict=False):
        names.append(f"frame_{index:05d}.jpg")
        Image.fromarray(frame).save(folder / names[-1], quality=JPEG_QUALITY, subsampling=0)
    return names, len(sharpness)


def sharpest(sharpness: np.ndarray, count: int) -> list[int]:
    """Indices of the sharpest of each of `count` equal parts of the frames, whose sharpness is [N]."""
    edges = np.linspace(0, len(sharpness), min(count, len(sharpness)) + 1).round().astype(int)
    return [int(a + sharpness[a:b].argmax()) for a, b in pairwise(edges)]


def measure(video: Path) -> Iterator[float]:
    """The sharpness of every frame."""
    shrink = f"scale='if(gt(iw,ih),min(iw,{LOOK_SIDE}),-2)':'if(gt(iw,ih),-2,min(ih,{LOOK_SIDE}))'"
    for frame in tqdm(decode(video, "gray", 1, ["-vf", shrink]), desc="sharpness", disable=None):
        yield laplacian_variance(frame[..., 0])


def laplacian_variance(gray: np.ndarray) -> float:
    """Variance of the Laplacian of a uint8 image [H, W]: small where all is blurred."""
    g = gray.astype(np.float32)
    edges = g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]
    return float(edges.var()) if edges.size else 0.0


def decode(video: Path, pixels: str, channels: int, filters: list[str]) -> Iterator[np.ndarray]:
    """uint8 [H, W, channels] of each frame that ffmpeg's `filters` leave, upright; one at a time in memory."""
    require_package("imageio_ffmpeg")
    import imageio_ffmpeg

    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it wonders about frames that are made smaller
    try:
        reader = imageio_ffmpeg.read_frames(
            str(video), pix_fmt=pixels, bits_per_pixel=8 * channels, output_params=[*AS_STORED, *filters]
        )
        with closing(reader):
            width, height = next(reader)["size"]
            for data in reader:
                yield np.frombuffer(data, dtype=np.uint8).reshape(height, width, channels)
    except DECODING_ERRORS as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise DataError(
            f"{video}: the video cannot be read ({lines[-1] if lines else type(error).__name__}); copy it again, or "
            "convert it to MP4"
        ) from None
