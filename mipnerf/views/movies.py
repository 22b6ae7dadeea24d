"""MP4 files from the frames of one run, or of two side by side."""

import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import matplotlib.font_manager as fonts
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mipnerf.datasets.images import decode_png
from mipnerf.datasets.scene import read_bytes, read_json, require, safe_path
from mipnerf.errors import DataError
from mipnerf.files import atomic_path
from mipnerf.thirdparty import require_package

FINGERPRINT = re.compile("[0-9a-f]{16}")  # the name of a folder of frames
QUALITY = "18"  # of x264, which is hardly told from the frames


class Frames(NamedTuple):
    """All frames of a run along a path."""

    run: str  # dataset/variant/scene
    path: str
    size: tuple[int, int]  # width and height of the RGB half of a frame
    files: list[Path]


def read_frames(manifests: Sequence[Path]) -> Frames:
    """The frames that the manifests of all shards name; `DataError` unless together they are one whole path."""
    contents = [read_json(manifest) for manifest in manifests]
    kinds = {"run": str, "path": str, "frames": int, "width": int, "height": int, "folder": str, "indices": list}
    for manifest, content in zip(manifests, contents, strict=True):
        for key, kind in kinds.items():
            require(content, key, kind, str(manifest))
    first = contents[0]
    again = "render the frames again (--forcerun frames)"
    for manifest, content in zip(manifests[1:], contents[1:], strict=True):
        if differing := [key for key in kinds if key != "indices" and content[key] != first[key]]:
            raise DataError(f"{manifest}: {differing[0]} differs from that of {manifests[0]}; {again}")
    if sorted(chain(*(content["indices"] for content in contents))) != list(range(first["frames"])):
        raise DataError(f"{', '.join(map(str, manifests))}: not all {first['frames']} frames, each once; {again}")
    folder = safe_path(manifests[0].parent, first["folder"], f"{manifests[0]}: 'folder'")
    files = [folder / f"{i:05d}.png" for i in range(first["frames"])]
    if missing := [file for file in files if not file.exists()]:
        raise DataError(f"{missing[0]} is missing; {again}")
    return Frames(first["run"], first["path"], (first["width"], first["height"]), files)


def write_movie(manifests: Sequence[Path], fps: float, output: Path) -> None:
    """The video of one run, RGB and depth side by side; then older frames, of another network or path, are removed."""
    frames = read_frames(manifests)
    encode((read_frame(file, frames.size) for file in frames.files), fps, output)
    folder = frames.files[0].parent
    for other in folder.parent.iterdir():
        if other != folder and FINGERPRINT.fullmatch(other.name):
            shutil.rmtree(other, ignore_errors=True)


def write_comparison(left: Sequence[Path], right: Sequence[Path], fps: float, output: Path) -> None:
    """The RGB of two runs along the same path, side by side under the names of their variants."""
    pair = [read_frames(manifests) for manifests in (left, right)]
    (one, other) = pair
    if (one.path, one.size, len(one.files)) != (other.path, other.size, len(other.files)):
        raise DataError(
            f"{one.run} and {other.run} have other paths, sizes or numbers of frames; render both with the same `video`"
        )
    width = one.size[0]
    header = np.concatenate([label(frames.run.split("/")[1], width) for frames in pair], axis=1)
    pictures = (
        np.concatenate([read_frame(file, one.size)[:, :width] for file in files], axis=1)
        for files in zip(one.files, other.files, strict=True)
    )
    encode((np.concatenate([header, picture]) for picture in pictures), fps, output)


def read_frame(file: Path, size: Sequence[int]) -> np.ndarray:
    """uint8 [H, 2 W, 3]; `DataError` for a damaged file or another size than [W, H]."""
    picture = decode_png(read_bytes(file), file, modes=("RGB",))
    if picture.shape != (size[1], 2 * size[0], 3):
        raise DataError(f"{file}: has shape {picture.shape}, but its manifest {size}; render the frames again")
    return picture


def label(text: str, width: int) -> np.ndarray:
    """uint8 [h, width, 3]: `text` in black on a white bar, whose height depends on its width only; smaller to fit."""
    file, middle = fonts.findfont("DejaVu Sans"), max(8, width // 18)
    font = ImageFont.truetype(file, middle)
    font = ImageFont.truetype(file, max(6, int(middle * min(1, 0.95 * width / font.getlength(text)))))
    bar = Image.new("RGB", (width, 2 * middle), "white")
    ImageDraw.Draw(bar).text((width / 2, middle), text, "black", font, anchor="mm")
    return np.asarray(bar)


def encode(pictures: Iterable[np.ndarray], fps: float, output: Path) -> None:
    """Write uint8 [H, W, 3] of one size as an MP4 that every player and browser shows (H.264, yuv420p).

    Sides become even, which that needs, by repeating the last row or column. Raises `ConfigError` without ffmpeg.
    """
    require_package("imageio_ffmpeg")
    import imageio_ffmpeg

    pictures = map(with_even_sides, pictures)
    first = next(pictures)
    options = ["-crf", QUALITY, "-movflags", "+faststart"]
    with atomic_path(output) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            first.shape[1::-1],
            fps=fps,
            codec="libx264",
            quality=None,
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            output_params=options,
            ffmpeg_log_level="error",
        )
        # Closed in any case, so that ffmpeg has ended before its file is taken or removed.
        with closing(writer):
            writer.send(None)
            for picture in chain([first], pictures):
                writer.send(np.ascontiguousarray(picture))


def with_even_sides(picture: np.ndarray) -> np.ndarray:
    """[H, W, C] with the last row and column repeated where their number is odd."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
