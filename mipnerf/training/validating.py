"""Validation while training: now and then, a few views that it does not learn from are rendered and scored."""

import csv
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.views import score_view, to_uint8
from mipnerf.files import atomic_path, write_text
from mipnerf.network.model import MipNerf
from mipnerf.network.rendering import render_image
from mipnerf.pixels import counted, true_rgb
from mipnerf.training.history import ValidationRow, picture_name, read_validation, write_validation
from mipnerf.workers import Item, Mapper, Result, Workers

log = logging.getLogger(__name__)
VALIDATIONS = 20  # over a training, where the configuration does not say how often
KEPT_PICTURES = 20  # newest validations of which pictures are kept


def validation_views(folder: Path, run: RunConfig, operation: OperationConfig) -> Scene | None:
    """The views that `operation` asks for of the scene in `folder`: of its validation split, else of its test split.

    None where it asks for none, in a process that only helps another to train, and, with a message, where there are
    none. A scene with fewer levels than `validate_level` gives its coarsest.
    """
    if operation.validate_every == 0 or int(os.environ.get("RANK", 0)):
        return None
    problem: DataError | None = None
    for split in ("val", "test"):
        try:
            scene = load_scene(folder, split, run.levels, run.data, operation.validate_views)
            coarsest = int(scene.levels.max())
            wanted = operation.validate_level
            return scene.at_level(coarsest if wanted is None else min(wanted, coarsest))
        except DataError as error:
            problem = problem or error
    log.warning("%s is not validated while it trains: %s", run.name, problem)
    return None


class _StoppedError(Exception):
    """The process is asked to stop, and the views can wait."""


@dataclass(frozen=True)
class _Stoppable:
    """Workers that give up between two parts of an image."""

    workers: Mapper
    is_stopped: Callable[[], bool]

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of all items, in their order."""

        def unless_stopped(item: Item) -> Result:
            if self.is_stopped():
                raise _StoppedError
            return function(item)

        return self.workers.map(unless_stopped, items)


class Validator:
    """Renders `scene` every so many steps; rows go to validation.csv, pictures (truth, rendering) to a folder.

    Nothing is drawn at random and nothing of the network is changed.
    """

    def __init__(
        self,
        run: RunConfig,
        operation: OperationConfig,
        scene: Scene,
        table: Path,
        pictures: Path,
        device: torch.device,
        precision: torch.dtype,
        workers: Workers,
    ) -> None:
        self.run, self.scene, self.table, self.pictures = run, scene, table, pictures
        self.device, self.precision, self.workers = device, precision, workers
        self.chunk_rays = operation.render_rays
        self.cameras = Cameras.from_scene(scene, device, run.data)
        self.last_step = 0  # that was looked at
        self.every = operation.validate_every or max(1, run.train.max_steps // VALIDATIONS)

    def begin(self, step: int) -> None:
        """Forget what came after `step`, which a resumed training will see again, and pictures of another training."""
        rows = [row for row in read_validation(self.table) if row.step <= step]
        write_validation(self.table, rows)
        self.last_step = max((row.step for row in rows), default=0)
        kept = {picture_name(row.step, row.view) for row in rows}
        # Another training of the run has pictures of the same names.
        mark, training = self.pictures / "training.txt", self.table.parent.name
        if not mark.exists() or mark.read_text(encoding="utf-8") != training:
            kept.clear()
            write_text(mark, training)
        for path in self.pictures.glob("*.png"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def is_due(self, step: int) -> bool:
        """Whether the views are to be looked at after `step`, and have not been."""
        return step > self.last_step and (step % self.every == 0 or step == self.run.train.max_steps)

    def validate(
        self, model: MipNerf, step: int, seconds: float, is_stopped: Callable[[], bool] = lambda: False
    ) -> list[ValidationRow]:
        """Render and score all views; none where `is_stopped` says so, or the memory does not hold them."""
        workers = _Stoppable(self.workers, is_stopped)
        try:
            rows = [self._validate_view(model, i, step, seconds, workers) for i in range(self.scene.num_views)]
        except _StoppedError:
            return []
        except (ConfigError, torch.cuda.OutOfMemoryError) as error:
            log.warning("step %s is not validated: %s", f"{step:,}", str(error).partition("\n")[0])
            self.last_step = step
            return []
        self._forget_old_pictures()
        self.last_step = step
        with open(self.table, "a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows(astuple(row) for row in rows)
        mean, level = np.mean([row.psnr for row in rows]), rows[0].level
        views = f"{len(rows)} view{'s' * (len(rows) != 1)}"
        where = f" at 1/{2**level}" if level else ""
        log.info("%s | step %s | validation PSNR %.2f (%s%s)", self.run.name, f"{step:,}", mean, views, where)
        return rows

    def _validate_view(self, model: MipNerf, i: int, step: int, seconds: float, workers: _Stoppable) -> ValidationRow:
        scene, data = self.scene, self.run.data
        truth = true_rgb(scene, i, data.white_bkgd, self.device)
        height, width = truth.shape[:2]
        rgb = render_image(
            model, self.cameras, i, height, width, data.white_bkgd, self.precision, self.chunk_rays, workers
        ).rgb
        scores = score_view(rgb, truth, mask=counted(scene, i, self.device))
        view = int(scene.views[i])
        with atomic_path(self.pictures / picture_name(step, view)) as temporary:
            iio.imwrite(temporary, np.concatenate([to_uint8(truth), to_uint8(rgb)], axis=1))
        return ValidationRow(step, int(scene.levels[i]), view, scores["psnr"], scores.get("ssim"), seconds)

    def _forget_old_pictures(self) -> None:
        pictures = {path: int(path.name.partition("_")[0]) for path in self.pictures.glob("*_*.png")}
        kept = sorted(set(pictures.values()))[-KEPT_PICTURES:]
        for path, step in pictures.items():
            if step < kept[0]:
                path.unlink(missing_ok=True)
