"""Scoring a trained model: every view of its resolution levels, resumable between views."""

import csv
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.scene import Scene
from mipnerf.devices import resolve_device, resolve_precision, synchronize
from mipnerf.errors import CheckpointError, DataError, Interrupted
from mipnerf.evaluation.metrics import MEASURES
from mipnerf.evaluation.perceptual import Lpips
from mipnerf.evaluation.records import LevelRecords, RecordWriter, ViewRecord, only_job
from mipnerf.evaluation.shards import WHOLE, Shard
from mipnerf.files import atomic_path
from mipnerf.network.choice import choose_for_rendering
from mipnerf.network.model import MipNerf
from mipnerf.network.rendering import render_image
from mipnerf.network.storage import load_model
from mipnerf.pixels import counted, true_rgb
from mipnerf.signals import StopSignals
from mipnerf.threads import available_cpus
from mipnerf.workers import Workers

log = logging.getLogger(__name__)
FORMAT = 1  # of pictures and scores; another one is another key


class Trained(NamedTuple):
    """A network and the run that made it."""

    model: MipNerf
    run: RunConfig


def load_trained(path: Path, device: torch.device) -> Trained:
    """The content of a `model.pt`; `CheckpointError` if it is none."""
    content = load_model(path, device)
    run = RunConfig.model_validate(content["run"])
    model = MipNerf(run.model).to(device)
    try:
        model.load_state_dict(content["parameters"])
    except RuntimeError as error:
        raise CheckpointError(f"the parameters in {path} are not those of its network: {error}") from None
    return Trained(model, run)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A trained network, how it is computed here, and what is measured of its pictures.

    `supersample` renders full resolution and averages down ("SS" in Table 3).
    """

    trained: Trained
    device: torch.device
    precision: torch.dtype
    chunk_rays: int
    workers: Workers
    supersample: bool = False
    lpips: Lpips | None = None

    @classmethod
    def create(
        cls,
        trained: Trained,
        operation: OperationConfig,
        threads: int = 0,
        supersample: bool = False,
        lpips: Lpips | None = None,
    ) -> Self:
        """As `operation` says; `threads` 0 takes all CPUs."""
        device = resolve_device(operation.device)
        precision = resolve_precision(trained.run.train.precision, device)
        network = choose_for_rendering(trained.model, operation, device, precision)
        # Triton's interpreter, which computes the kernels on a CPU, is not for threads.
        workers = Workers(1 if network == "fused" else threads or available_cpus(), device)
        return cls(trained, device, precision, operation.render_rays, workers, supersample, lpips)

    def evaluate(
        self, scene: Scene, levels: Sequence[int], folder: Path, shard: Shard = WHOLE, fresh: str = ""
    ) -> None:
        """Render and score the views of these levels of `scene`; of a `shard` only its views, which may be none.

        The pictures of a view go to `level_K/renderings` in `folder`: `VVV.png`, the colours in 8 bits (scores are
        those of the float image), `VVV_depth.png`, the distance in 16 (0 is near, 65535 far, with even steps, of
        disparity where the scene is unbounded), and `VVV_acc.png`, the accumulated opacity in 8. Once all views of a
        level are there, `level_K/metrics.csv` has their scores and the pictures of other views are removed. A shard
        writes its scores to `level_K/shards/I_of_N.csv` instead.

        A view that is there is not rendered again, unless its `view_keys` have changed or `fresh` asks for it: then it
        has to be of that word.

        Raises:
            Interrupted: a signal came; the views that are rendered stay.
            DataError: the scene has no view of a level.
        """
        for level in levels:
            if not (scene.levels == level).any():
                known = f"its levels are 0 to {self.trained.run.levels - 1}"
                raise DataError(f"the dataset has no view of level {level}; {known}")
        with StopSignals() as signals:
            for level in levels:
                views = scene.at_level(level)
                views = views.select(np.array(shard.of(views.num_views), dtype=np.int64))
                level_folder = folder / f"level_{level}"
                with only_job(level_folder, shard, signals):
                    self._evaluate_level(views, level, level_folder, shard, fresh, signals)

    def view_keys(self, scene: Scene, level: int) -> dict[int, str]:
        """A digest by view of all that decides its pictures and scores.

        That are network, camera, pixels and what is measured; where and how fast it is computed is not.
        """
        model, run = self.trained
        shared = hashlib.sha256()
        for name, values in sorted(model.state_dict().items()):
            shared.update(name.encode())
            shared.update(np.ascontiguousarray(values.cpu().numpy()).data)
        rays = (run.data.white_bkgd, run.data.use_pixel_centers, run.data.ndc_unit_viewdirs, scene.ndc, scene.max_value)
        lpips = self.lpips.fingerprint if self.lpips else None
        facts = [FORMAT, run.model.model_dump(), run.train.precision, rays, level, self._grid(level), lpips]
        facts += [run.data.box] if run.data.box else []
        shared.update(json.dumps(facts).encode())
        keys = {}
        for i, image in enumerate(scene.images):
            digest = shared.copy()
            for values in (scene.camtoworlds[i], scene.pix2cams[i], scene.nears[i], scene.fars[i]):
                # Shards may be on machines whose cosines differ in the last bits; and -0 is 0.
                digest.update(np.ascontiguousarray(np.round(values, 10) + 0.0, dtype="<f8").data)
            digest.update(scene.lens_and_mask(i))
            digest.update(f"{image.dtype.str} {image.shape}".encode())
            digest.update(np.ascontiguousarray(image).data)
            keys[int(scene.views[i])] = digest.hexdigest()
        return keys

    def _grid(self, level: int) -> int:
        """Rays along each side of a pixel."""
        return 2**level if self.supersample else 1

    def _evaluate_level(
        self, scene: Scene, level: int, folder: Path, shard: Shard, fresh: str, signals: StopSignals
    ) -> None:
        """Have all views of `scene`, which are those of the level or of a shard of it, and write their scores."""
        run = self.trained.run
        name = f"{run.name} level {level}"
        records = LevelRecords(folder, shard)
        keys = self.view_keys(scene, level)
        found = records.find(keys, fresh)
        missing = [i for i, view in enumerate(keys) if view not in found]
        if found:
            log.info("%s: %d of %d views are there", name, len(found), len(keys))
        if missing:
            log.info("%s: rendering %d views", name, len(missing))
            cameras = Cameras.from_scene(scene, self.device, run.data).supersampled(self._grid(level))
            with RecordWriter(records) as writer:
                for i in tqdm(missing, desc=name, unit="view", mininterval=5):
                    if signals.received:
                        break
                    scores, pictures = self._score(scene, cameras, i, self._grid(level))
                    view = int(scene.views[i])
                    writer.add(ViewRecord(view, keys[view], fresh, scores), pictures)
            found |= writer.written
        if len(found) < len(keys):
            raise Interrupted(
                f"{name} was stopped by signal {signals.received}; {len(found)} of its {len(keys)} views are there, "
                "the same command goes on with the others",
                signals.received or 0,
            )
        whole = [found[view] for view in keys]
        if shard == WHOLE:
            write_scores(folder / "metrics.csv", run, level, whole)
            records.keep_only(whole)
        else:
            write_scores(folder / "shards" / f"{shard.name}.csv", run, level, whole)
        mean = f", mean PSNR {np.mean([record.scores['psnr'] for record in whole]):.2f} dB" if whole else ""
        log.info("%s: %d views%s", name, len(whole), mean)

    def _score(self, scene: Scene, cameras: Cameras, i: int, grid: int) -> tuple[dict[str, float], list[np.ndarray]]:
        """Render view `i` of `cameras`, which are `scene`'s with `grid` x `grid` rays a pixel: scores and pictures."""
        white_bkgd = self.trained.run.data.white_bkgd
        truth = true_rgb(scene, i, white_bkgd, self.device)
        height, width = truth.shape[:2]
        started = time.perf_counter()
        rendering = render_image(
            self.trained.model,
            cameras,
            i,
            height * grid,
            width * grid,
            white_bkgd,
            self.precision,
            self.chunk_rays,
            self.workers,
        )
        rgb = box_mean(rendering.rgb, grid)
        synchronize(self.device)
        seconds = time.perf_counter() - started
        scores = score_view(rgb, truth, self.lpips, counted(scene, i, self.device))
        scores["seconds_per_megapixel"] = seconds * 1e6 / (height * width)
        distance = box_mean(rendering.distance[..., None], grid)
        depth = to_uint16(distance, scene.nears[i], scene.fars[i], scene.unbounded)
        acc = to_uint8(box_mean(rendering.acc[..., None], grid))
        return scores, [to_uint8(rgb), depth[..., 0], acc[..., 0]]


def box_mean(image: Tensor, grid: int) -> Tensor:
    """[H, W, C]: the means of squares of `grid` x `grid` pixels of [H grid, W grid, C]."""
    height, width, channels = image.shape
    return image.view(height // grid, grid, width // grid, grid, channels).mean((1, 3))


def score_view(
    rgb: Tensor,
    truth: Tensor,
    lpips: Callable[[Tensor, Tensor], float | None] | None = None,
    mask: Tensor | None = None,
) -> dict[str, float]:
    """All `MEASURES` and LPIPS of an image [H, W, 3]; one is left out where it cannot be measured.

    Of a `mask` [H, W], only pixels count where it is True; for LPIPS the others are those of the truth.
    """
    measured = {name: measure(rgb, truth, mask) for name, measure in MEASURES.items()}
    scores = {name: value.item() for name, value in measured.items() if value is not None}
    if mask is not None:
        rgb = torch.where(mask[..., None], rgb, truth)
    if lpips and (distance := lpips(rgb, truth)) is not None:
        scores["lpips"] = distance
    return scores


def to_uint8(rgb: Tensor) -> np.ndarray:
    """[0, 1] to 0 ... 255, rounded (the reference truncates)."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def share_of_depth(distance: Tensor, near: float, far: float, unbounded: bool) -> Tensor:
    """Distances from near to far to 0 ... 1: evenly, or by their disparity where the scene is unbounded."""
    share = (1 / near - 1 / distance) / (1 / near - 1 / far) if unbounded else (distance - near) / (far - near)
    return share.clamp(0, 1)


def to_uint16(distance: Tensor, near: float, far: float, unbounded: bool = False) -> np.ndarray:
    """Distances from near to far to 0 ... 65535, rounded; see `share_of_depth`."""
    share = share_of_depth(distance.double().cpu(), near, far, unbounded)
    return (share * 65535).round().numpy().astype(np.uint16)


def write_scores(path: Path, run: RunConfig, level: int, records: Iterable[ViewRecord]) -> None:
    """Atomically write the scores of views in long form."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["dataset", "variant", "scene", "level", "view", "metric", "value"])
        for record in records:
            for metric, value in record.scores.items():
                writer.writerow([run.dataset, run.variant, run.scene, level, record.view, metric, value])
