"""Views from all around a scene and ever farther away, and videos, of the runs that have them."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from mipnerf.config.sections import ORBIT_LEVELS
from mipnerf.datasets.images import decode_png
from mipnerf.datasets.scene import read_bytes
from mipnerf.report.frame import Run
from mipnerf.report.page.budget import ENCODED, ORBIT_BYTES, VIDEO_BYTES, fitting


@dataclass(frozen=True)
class Orbit:
    """All frames of a run: a sheet for each level, `columns` frames in a row, each as large as `sizes` says."""

    run: Run
    frames: int
    columns: int
    sizes: tuple[tuple[int, int], ...]
    sheets: tuple[bytes, ...]

    @property
    def num_bytes(self) -> float:
        """What it adds to the page."""
        return ENCODED * sum(map(len, self.sheets))


@dataclass(frozen=True)
class Video:
    """A video of a run, and its first frame where that is still there; `is_shown` if there was room for it."""

    run: Run
    path: Path
    poster: bytes | None
    is_shown: bool


def choose_orbits(runs: Sequence[Run], max_bytes: float = ORBIT_BYTES) -> tuple[list[Orbit], int]:
    """The orbits that the page has room for, scene by scene, and how many there were."""
    orbits = [orbit for run in runs if (orbit := read_orbit(run.folder / "orbit", run)) is not None]
    kept = fitting((orbit.num_bytes for orbit in orbits), max_bytes)
    return [orbits[i] for i in kept], len(orbits)


def read_orbit(folder: Path, run: Run) -> Orbit | None:
    """The orbit in `folder`, as `workflow_scripts/orbit.py` leaves it; None where it is not there, or not whole."""
    manifests = [folder / f"level_{level}.json" for level in range(ORBIT_LEVELS)]
    if not all(manifest.exists() for manifest in manifests):
        return None
    sheets, sizes, frames = [], [], 0
    for manifest in manifests:
        record = json.loads(read_bytes(manifest))
        if not record["frames"]:
            return None
        frames, size = record["frames"], (record["width"], record["height"])
        paths = [folder / record["folder"] / f"{i:05d}.png" for i in range(frames)]
        if not all(path.exists() for path in paths):
            return None
        # Colours are the left half of a frame, depth is the right.
        pictures = [decode_png(read_bytes(path), path, modes=("RGB",))[:, : size[0]] for path in paths]
        sheets.append(_sheet(pictures, columns_of(frames)))
        sizes.append(size)
    return Orbit(run, frames, columns_of(frames), tuple(sizes), tuple(sheets))


def choose_videos(runs: Sequence[Run], max_bytes: float = VIDEO_BYTES) -> list[Video]:
    """Every video of the runs, embedded as far as there is room; the others are named."""
    found = [(run, path) for run in runs for path in sorted(run.folder.glob("video_*.mp4"))]
    kept = fitting((ENCODED * path.stat().st_size for _, path in found), max_bytes)
    return [Video(run, path, poster_of(path), i in kept) for i, (run, path) in enumerate(found)]


def poster_of(video: Path) -> bytes | None:
    """The first frame of a video, from the folder of its frames; None where that is gone."""
    # A video of two variants has the frames of two others.
    folder = video.with_name(video.stem.partition("_vs_")[0])
    frames = sorted((folder / "frames").glob("*/00000.png"))
    return read_bytes(frames[-1]) if frames else None


def columns_of(frames: int) -> int:
    """How many frames of so many stand beside one another: a sheet is about square."""
    return math.ceil(math.sqrt(frames))


def _sheet(pictures: Sequence[np.ndarray], columns: int) -> bytes:
    blank = np.zeros_like(pictures[0])
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.concatenate(filled[i : i + columns], axis=1) for i in range(0, len(filled), columns)]
    stream = io.BytesIO()
    iio.imwrite(stream, np.concatenate(rows), extension=".png")
    return stream.getvalue()
