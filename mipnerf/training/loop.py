"""Training one network on one scene: resumable, killable, readable from top to bottom."""

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mipnerf import __version__
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.config.runs import shrunk_batch
from mipnerf.datasets.scene import Scene
from mipnerf.devices import describe_device, resolve_device, synchronize
from mipnerf.errors import Interrupted, TrainingDiverged
from mipnerf.files import write_text
from mipnerf.network.model import MipNerf
from mipnerf.signals import StopSignals
from mipnerf.training.averaging import Average, make_average
from mipnerf.training.budget import Budget, long_warm_up, read_budget, step_seconds, write_budget
from mipnerf.training.checkpoint import StateWriter, list_states, load_newest_state
from mipnerf.training.claims import only_one, put_aside
from mipnerf.training.distributed import join_world
from mipnerf.training.events import EventLog, check_events
from mipnerf.training.history import (
    append_row,
    format_duration,
    format_row,
    read_rows,
    read_validation,
    truncate,
    truncate_validation,
)
from mipnerf.training.optimization import make_optimizer
from mipnerf.training.provenance import Journal, read_starts
from mipnerf.training.results import write_run
from mipnerf.training.schedule import SCHEDULES
from mipnerf.training.stepping import Stepper
from mipnerf.training.validating import Validator
from mipnerf.training.window import Window

log = logging.getLogger(__name__)


def train(
    run: RunConfig,
    operation: OperationConfig,
    scene: Scene,
    folder: Path,
    fresh: str = "",
    threads: int = 0,
    data_verified: bool | None = None,
    validation: Scene | None = None,
) -> None:
    """Train `run` on `scene` and write `model.pt`, `history.csv`, `validation.csv` and `config.yaml` to `folder`.

    An unfinished training of the same configuration and data goes on where its last checkpoint was made; a finished
    one is only written out again. `fresh` asks for a new one: what is there is put aside, unless it was begun under the
    same word, so that a retried job goes on.

    The views of `validation` are rendered and scored now and then, which changes nothing else and is not timed; their
    pictures are in `validation/`.

    Processes that `torchrun` has started together train one network; the first of them reads and writes the files.

    Raises:
        Interrupted: a signal came; the state is saved.
        TrainingDiverged: the loss is not finite.
        CheckpointError: another process trains this run; within a Slurm job, its end is waited for instead.
        PeerLost: another process of this training has ended.
    """
    check_events(operation)
    data = scene.fingerprint()
    checkpoints = folder / "checkpoints" / run.fingerprint(data)
    checkpoints.mkdir(parents=True, exist_ok=True)
    if warning := shrunk_batch(run):
        log.warning("%s", warning)
    with (
        join_world(resolve_device(operation.device)) as world,
        only_one(folder) if world.is_main else nullcontext(),
        StopSignals() as signals,
    ):
        if fresh and world.is_main:
            put_aside(checkpoints, fresh)
        trainer = Trainer.create(run, operation, scene, threads, world)
        trainer.keep_budget(checkpoints)
        trainer.average = make_average(trainer.model, trainer.run.train)
        facts = {
            "train_views": int((scene.levels == 0).sum()),
            "width": int(scene.widths[0]),
            "height": int(scene.heights[0]),
            "data_sha256": data,
            "data_verified": data_verified,
            **({"masked_share": masked} if (masked := scene.masked_share()) else {}),
        }
        del scene  # the batcher has the pixels
        if validation is not None and world.is_main:
            trainer.validate_on(validation, checkpoints / "validation.csv", folder / "validation")
        if world.is_main:
            write_text(checkpoints / "run.yaml", yaml.safe_dump(trainer.run.model_dump(), sort_keys=False))
        trainer.restore(checkpoints)
        trainer.begin_journal(checkpoints)
        if operation.tensorboard and world.is_main:
            history, table = checkpoints / "history.csv", checkpoints / "validation.csv"
            trainer.events = EventLog(folder / "tensorboard", history, table, folder / "validation")
        trainer.run_to_end(checkpoints, signals)
        if world.is_main:
            trainer.export(folder, checkpoints, facts)


@dataclass
class Trainer(Stepper):
    """The state of a training and the loop over it."""

    seconds: float = 0.0  # of training, until the last row of the history
    validator: Validator | None = None
    journal: Journal | None = None
    events: EventLog | None = None
    budget: Budget | None = None
    average: Average | None = None

    def __post_init__(self) -> None:
        self.window = Window(self.run.model.num_levels, self.device)

    @property
    def evaluated(self) -> MipNerf:
        """The network whose weights are the result."""
        return self.average.model if self.average else self.model

    def state(self) -> dict[str, Any]:
        """All that a continued training needs to go on as if never stopped."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "window": self.window.state(),
            "parameters": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batch_generator": self.batcher.generator.get_state(),
            "network": self.way,
            "package_version": __version__,
            **({"average": self.average.model.state_dict()} if self.average else {}),
        }

    def restore(self, checkpoints: Path) -> None:
        """Go back to the newest intact state, if there is one."""
        state = self.world.from_main(lambda: load_newest_state(checkpoints, torch.device("cpu")))
        if state is not None:
            self.model.load_state_dict(state["parameters"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average:
                self.average.model.load_state_dict(state["average"])
            self.restore_draws(state["batch_generator"])
            way = state.get("network", "")
            if way.partition(" ")[0] in self.choice:  # what was fastest, and gives the same bits
                self.use_way(way)
            self.step, self.seconds = state["step"], state["seconds"]
            if window := state.get("window"):  # states of 0.1.0 have none
                self.window.restore(window)
        if self.world.is_main:
            truncate(checkpoints / "history.csv", self.step, self.run.model.num_levels)
            truncate_validation(checkpoints / "validation.csv", self.step)
        if self.validator:
            self.validator.begin(self.step)
        if state is not None:
            log.info("%s goes on after step %s of %s", self.run.name, f"{self.step:,}", f"{self.run.train.max_steps:,}")

    def keep_budget(self, checkpoints: Path) -> None:
        """Have as many steps as the minutes of the run allow: what was measured at its first start counts for good."""
        train = self.run.train
        if train.minutes is None:
            return
        budget = self.world.from_main(lambda: read_budget(checkpoints))
        if budget is None:
            budget = Budget(train.minutes, self.measure_step(60 * train.minutes), describe_device(self.device))
            if self.world.is_main:
                write_budget(checkpoints, budget)
            log.info("%s: %s", self.run.name, budget)
            if warning := long_warm_up(budget, train.lr_delay_steps):
                log.warning("%s: %s", self.run.name, warning)
        self.budget = budget
        self.run = self.run.model_copy(update={"train": train.model_copy(update={"max_steps": budget.steps})})

    def measure_step(self, budget_seconds: float) -> float:
        """Seconds of a step, from a few whose effects are undone; the same number in all processes."""
        batches = self.batcher.generator.get_state()
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}

        def take_steps(count: int) -> float:
            started = time.perf_counter()
            for _ in range(count):
                self.take_step(0.0)
            synchronize(self.device)
            return time.perf_counter() - started

        seconds = step_seconds(take_steps, budget_seconds, self.world.from_main)
        self.model.load_state_dict(weights)
        self.optimizer = make_optimizer(self.model, self.run.train, self.precision)
        self.use_way(self.way)  # a step that was captured holds on to the old optimizer
        self.batcher.generator.set_state(batches)
        return seconds

    def validate_on(self, scene: Scene, table: Path, pictures: Path) -> None:
        """Render and score the views of `scene` now and then."""
        self.validator = Validator(
            self.run, self.operation, scene, table, pictures, self.device, self.precision, self.workers
        )

    def begin_journal(self, checkpoints: Path) -> None:
        """Note this start, unless nothing is left to be done."""
        if self.world.is_main and self.step < self.run.train.max_steps:
            path = checkpoints / "starts.yaml"
            self.journal = Journal(path, self.step, self.device, threads=self.workers.count, processes=self.world.size)

    def save(self, writer: StateWriter) -> None:
        """Keep the state as it is now; raises TrainingDiverged rather than keep weights that are not finite."""
        if not torch.stack([torch.isfinite(p).all() for p in self.model.parameters()]).all():
            raise TrainingDiverged(diverged(self.run.name, self.step, "weights are"))
        if self.world.is_main:
            writer.save(self.step, self.state())
            if self.journal:
                self.journal.note(self.step)

    def run_to_end(self, checkpoints: Path, signals: StopSignals) -> None:
        """Take all steps that are left, saving and reporting on the way."""
        self.validate()  # which a signal has put off
        with StateWriter(checkpoints, self.operation.keep_checkpoints) as writer:
            self._take_steps(checkpoints, signals, writer)
            self.validate()

    def _take_steps(self, checkpoints: Path, signals: StopSignals, writer: StateWriter) -> None:
        train, operation = self.run.train, self.operation
        window = self.window
        window.start_clock()
        last_save = time.monotonic()
        while self.step < train.max_steps:
            self.step += 1
            learning_rate = SCHEDULES[train.schedule](
                self.step, train.lr_init, train.lr_final, train.max_steps, train.lr_delay_steps, train.lr_delay_mult
            )
            window.add(self.take_step(learning_rate))
            if self.average:
                self.average.add(self.model, self.step)
            is_last = self.step == train.max_steps
            if self.step % operation.print_every == 0 or is_last:
                writer.check()
                self.check_window()
                row = window.close(self.step, self.seconds, learning_rate, train)
                self.seconds = row.seconds
                if self.world.is_main:
                    append_row(checkpoints / "history.csv", row)
                if self.events:
                    self.events.add(row)
                if self.journal:
                    self.journal.meter.joules()
                log.info("%s | %s", self.run.name, format_row(row, train.max_steps))
            if not is_last:  # whose state comes first
                self.validate(signals)
            is_due = self.step % operation.save_every == 0 or self.step == 1
            is_late = time.monotonic() - last_save > 60 * operation.save_minutes
            signal_number, is_late_anywhere = self.world.largest(signals.received or 0, is_late)
            if is_due or is_late_anywhere or is_last or signal_number:
                self.check_window()
                self.save(writer)
                last_save = time.monotonic()
            if signal_number and not is_last:
                writer.wait()
                self.world.wait()  # whoever ends first ends all
                raise Interrupted(
                    f"{self.run.name} was stopped by signal {signal_number}; step {self.step:,} is saved, "
                    "the same command goes on from there",
                    signal_number,
                )

    def check_window(self) -> None:
        """Raise TrainingDiverged unless all losses since the last row are finite."""
        if not self.window.is_finite():
            raise TrainingDiverged(diverged(self.run.name, self.step, "loss is"))

    def validate(self, signals: StopSignals | None = None) -> None:
        """Look at the validation views where that is due; a signal puts it off until the training goes on."""
        if not (self.validator and self.validator.is_due(self.step)):
            return
        self.check_window()  # also waits for what is still computed: that is training
        with self.window.off_the_clock():
            seconds = self.seconds + self.window.seconds
            rows = self.validator.validate(
                self.evaluated, self.step, seconds, lambda: bool(signals and signals.received)
            )
            if self.events and rows:
                self.events.add_validation(rows)

    def export(self, folder: Path, checkpoints: Path, facts: dict[str, Any]) -> None:
        """Write what later steps read: the model last, since it tells that all is there."""
        record = {
            "num_parameters": sum(p.numel() for p in self.model.parameters()),
            "train_seconds": round(self.seconds, 1),
            "device": describe_device(self.device),
            "threads": self.workers.count,
            "processes": self.world.size,
            "precision": str(self.precision).removeprefix("torch."),
            "network": self.network,
            "torch": str(torch.__version__),
            **facts,
            **({"budget": self.budget._asdict()} if self.budget else {}),
            "starts": read_starts(checkpoints / "starts.yaml"),
        }
        history = read_rows(checkpoints / "history.csv")
        validation = read_validation(checkpoints / "validation.csv")
        write_run(folder, self.run, self.evaluated.state_dict(), record, history, validation)
        for old in list_states(checkpoints)[1:]:
            old.unlink()
        log.info("%s is trained: %s steps in %s", self.run.name, f"{self.step:,}", format_duration(self.seconds))


def diverged(name: str, step: int, what: str) -> str:
    """What to tell whoever started a training whose `what` not finite."""
    return (
        f"{name}: the {what} not finite at step {step:,}; the checkpoint before it is kept. "
        "Lower train.lr_init, lengthen train.lr_delay_steps or set train.grad_max_norm"
    )
