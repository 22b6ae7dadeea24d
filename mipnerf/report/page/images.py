"""The images that can be compared on the page: as many views as it bears, and their bytes as they are."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.scene import evenly_spread, read_bytes
from mipnerf.errors import DataError
from mipnerf.report.figures.strips import read_truth, without_nan
from mipnerf.report.frame import Run, format_value
from mipnerf.report.rows import METRICS

MAX_BYTES = 24 << 20  # of all images, as they stand in the page
MAX_VIEWS = 4  # of a scene
ENCODED = 4 / 3  # the size of base64 to that of its bytes
TRUTH = "truth"


@dataclass(frozen=True)
class Picture:
    """The truth, or the rendering of a variant with its scores as text; `png` is a whole file."""

    name: str
    png: bytes
    scores: str = ""


@dataclass(frozen=True)
class Comparison:
    """One view of a scene at one level: the truth, then the rendering of each variant."""

    dataset: str
    scene: str
    level: int
    view: int
    width: int
    height: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Candidate:
    """What could become a `Comparison`, before any image is read; `place` is the view's in the order of choice."""

    runs: tuple[Run, ...]
    level: int
    view: int
    place: int

    def files(self) -> list[Path]:
        """The renderings of all runs."""
        return [rendering_path(run, self.level, self.view) for run in self.runs]

    def num_bytes(self) -> float:
        """About what it adds to the page: the truth is taken for as large as the renderings."""
        sizes = [path.stat().st_size for path in self.files() if path.exists()]
        return ENCODED * sum(sizes) * (1 + 1 / len(self.runs))


def choose_images(runs: Sequence[Run], max_bytes: float = MAX_BYTES) -> tuple[list[Candidate], int]:
    """What the page shows in at most `max_bytes`, in the order of scenes, views and levels; and how many there were.

    A first view of every scene comes before a second of any, and coarse levels, which cost least, before fine ones.
    """
    candidates = list(_candidates(runs))
    order = sorted(range(len(candidates)), key=lambda i: (candidates[i].place, -candidates[i].level))
    total = itertools.accumulate(candidates[i].num_bytes() for i in order)
    fitting = [i for i, size in zip(order, total, strict=True) if size <= max_bytes]
    return [candidates[i] for i in sorted(fitting)], len(candidates)


def read_comparison(candidate: Candidate, folders: Mapping[str, Path]) -> Comparison:
    """Read the images; `folders` are those of the data, by `dataset/scene`.

    Raises `DataError` for what is missing.
    """
    first = candidate.runs[0]
    name = f"{first.dataset}/{first.scene}"
    if name not in folders:
        raise DataError(f"nothing says where the truth of {name} is: add --data {name}=FOLDER")
    folder, data = folders[name], DataConfig(**first.setting("data"))
    truth = read_truth(folder, candidate.level, candidate.view, first.setting("levels"), data)
    height, width = truth.shape[:2]
    pictures = [Picture(TRUTH, encode_png(without_nan(truth)))]
    for run, path in zip(candidate.runs, candidate.files(), strict=True):
        pictures.append(Picture(run.variant, read_bytes(path), scores(run, candidate.level, candidate.view)))
    where = first.dataset, first.scene, candidate.level, candidate.view
    return Comparison(*where, width, height, tuple(pictures))


def rendering_path(run: Run, level: int, view: int) -> Path:
    """Where a rendering is."""
    return run.folder / f"level_{level}" / "renderings" / f"{view:03d}.png"


def encode_png(image: np.ndarray) -> bytes:
    """A PNG of an image [H, W, 3] in [0, 1]."""
    stream = io.BytesIO()
    iio.imwrite(stream, np.round(255 * np.clip(image, 0, 1)).astype(np.uint8), extension=".png")
    return stream.getvalue()


def scores(run: Run, level: int, view: int) -> str:
    """`PSNR 24.34, SSIM 0.8827, LPIPS 0.1234` of one image, as far as they were measured."""
    rows = run.metrics[(run.metrics["level"] == level) & (run.metrics["view"] == view)]
    values = rows.set_index("metric")["value"]
    shown = [metric for metric in ("psnr", "ssim", "lpips") if metric in values]
    return ", ".join(f"{METRICS[metric].title} {format_value(metric, values[metric])}" for metric in shown)


def _candidates(runs: Sequence[Run]) -> Iterator[Candidate]:
    scenes: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        scenes.setdefault((run.dataset, run.scene), []).append(run)
    for members in scenes.values():
        common = sorted(set.intersection(*(set(run.views) for run in members)))
        levels = sorted(set.intersection(*(set(map(int, run.metrics["level"])) for run in members)))
        # The middle one is that of the strips.
        middle = common[len(common) // 2 :][:1]
        others = [view for view in common if view not in middle]
        spread = [others[i] for i in evenly_spread(len(others), MAX_VIEWS - 1)] if others else []
        order = [*middle, *spread]
        for view in sorted(order):
            for level in levels:
                yield Candidate(tuple(members), level, view, order.index(view))
