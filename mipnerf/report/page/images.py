"""The images that can be compared on the page: as many views as it bears, and their bytes as they are."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.images import read_gray
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.scene import Scene, evenly_spread, read_bytes
from mipnerf.errors import DataError
from mipnerf.report.figures.strips import CLIPPED_SHARE, true_image, without_nan
from mipnerf.report.frame import Run
from mipnerf.report.page.budget import ENCODED, IMAGE_BYTES, fitting
from mipnerf.report.sweeps import pictured_runs

TRUTH = "truth"
LEAST_ACC = 128  # of 255, below which what a ray meets is no surface
SPREAD_VIEWS = 4  # of a scene, chosen evenly after the middle one and before all others


@dataclass(frozen=True)
class Map:
    """Depth and opacity of a rendering, whole files of 8 bits.

    A depth of 0 is none; 1 to 255 are evenly from `low` to `high`, of disparities where the background has no end.
    """

    variant: str
    depth: bytes
    opacity: bytes
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One view of a scene at one level: files of the truth and of the rendering of each variant, by their names."""

    dataset: str
    scene: str
    level: int
    view: int
    width: int
    height: int
    pictures: Mapping[str, bytes]
    maps: Sequence[Map]


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


def choose_images(runs: Sequence[Run], max_bytes: float = IMAGE_BYTES) -> tuple[list[Candidate], int]:
    """What the page shows in at most `max_bytes`, in the order of scenes, views and levels; and how many there were.

    A first view of every scene comes before a second of any, and coarse levels, which cost least, before fine ones. Of
    several seeds, the first is shown; of a sweep, the best.
    """
    candidates = list(_candidates(runs))
    order = sorted(range(len(candidates)), key=lambda i: (candidates[i].place, -candidates[i].level))
    kept = {order[i] for i in fitting((candidates[i].num_bytes() for i in order), max_bytes)}
    return [candidates[i] for i in sorted(kept)], len(candidates)


def read_comparisons(candidates: Sequence[Candidate], folders: Mapping[str, Path]) -> Iterator[Comparison]:
    """Read the images; `folders` are those of the data, by `dataset/scene`.

    Raises `DataError` for what is missing.
    """
    # All levels of a view together: what a scene says of its cameras is long.
    for _, group in itertools.groupby(candidates, key=lambda one: (one.runs, one.view)):
        members = list(group)
        first, view = members[0].runs[0], members[0].view
        name = f"{first.dataset}/{first.scene}"
        if name not in folders:
            raise DataError(f"nothing says where the truth of {name} is: add --data {name}=FOLDER")
        data = DataConfig(**first.setting("data"))
        level = members[0].level if len(members) == 1 else None
        scene = load_scene(folders[name], "test", first.setting("levels"), data, level=level, view=view)
        for candidate in members:
            (place,) = np.flatnonzero(scene.levels == candidate.level)[:1]
            yield _read_comparison(candidate, scene.select([int(place)]), data)


def _read_comparison(candidate: Candidate, scene: Scene, data: DataConfig) -> Comparison:
    """One comparison, of which `scene` has the one image."""
    truth, first = true_image(scene, data), candidate.runs[0]
    pictures = {TRUTH: encode_png(truth)}
    for run, path in zip(candidate.runs, candidate.files(), strict=True):
        pictures[run.variant] = read_bytes(path)
    where = first.dataset, first.scene, candidate.level, candidate.view
    height, width = truth.shape[:2]
    return Comparison(*where, width, height, pictures, read_maps(candidate, scene))


def read_maps(candidate: Candidate, scene: Scene) -> list[Map]:
    """Depth and opacity of the runs that have them, depths on one scale; `scene` has the view alone."""
    found = {}
    for run, path in zip(candidate.runs, candidate.files(), strict=True):
        files = [path.with_name(f"{path.stem}_{kind}.png") for kind in ("depth", "acc")]
        if all(file.exists() for file in files):
            depth, acc = map(read_gray, files)
            found[run.variant] = depth / 65535, acc.astype(np.uint8)
    seen = [shares[acc >= LEAST_ACC] for shares, acc in found.values()]
    values = np.concatenate(seen) if seen else np.array([])
    if not values.size:
        return []
    low, high = np.quantile(values, [2 * CLIPPED_SHARE, 1 - 2 * CLIPPED_SHARE])
    high = max(high, low + 1e-6)
    near, far = float(scene.nears[0]), float(scene.fars[0])
    if scene.unbounded:
        near, far = 1 / near, 1 / far
    ends = [near + float(share) * (far - near) for share in (low, high)]
    maps = []
    for variant, (shares, acc) in found.items():
        steps = 1 + np.round(254 * np.clip((shares - low) / (high - low), 0, 1))
        depth = np.where(acc >= LEAST_ACC, steps, 0).astype(np.uint8)
        maps.append(Map(variant, _png(depth), _png(acc), *ends))
    return maps


def rendering_path(run: Run, level: int, view: int) -> Path:
    """Where a rendering is."""
    return run.folder / f"level_{level}" / "renderings" / f"{view:03d}.png"


def encode_png(image: np.ndarray) -> bytes:
    """A PNG of an image [H, W, 3] in [0, 1]; what is NaN can be seen through."""
    pixels = np.round(255 * np.clip(without_nan(image), 0, 1)).astype(np.uint8)
    is_hidden = np.isnan(image).any(-1, keepdims=True)
    alpha = np.where(is_hidden, 0, 255).astype(np.uint8)
    return _png(np.concatenate([pixels, alpha], axis=-1) if is_hidden.any() else pixels)


def order_of_views(views: Sequence[int]) -> list[int]:
    """All `views`: the middle one, which is that of the strips, some that are spread evenly, then the others."""
    middle = list(views[len(views) // 2 :][:1])
    others = [view for view in views if view not in middle]
    spread = [others[i] for i in evenly_spread(len(others), SPREAD_VIEWS - 1)] if others else []
    return [*middle, *spread, *(view for view in others if view not in spread)]


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    iio.imwrite(stream, pixels, extension=".png")
    return stream.getvalue()


def _candidates(runs: Sequence[Run]) -> Iterator[Candidate]:
    scenes: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        scenes.setdefault((run.dataset, run.scene), []).append(run)
    for everyone in scenes.values():
        members = pictured_runs(everyone)
        common = sorted(set.intersection(*(set(run.views) for run in members)))
        levels = sorted(set.intersection(*(set(map(int, run.metrics["level"])) for run in members)))
        place = {view: i for i, view in enumerate(order_of_views(common))}
        for view in common:
            for level in levels:
                yield Candidate(tuple(members), level, view, place[view])
