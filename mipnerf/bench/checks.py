"""What has to work on a device, each tried on a scene that is made up; no data from elsewhere is needed."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.made_up import made_up_scene
from mipnerf.devices import free_memory
from mipnerf.errors import Interrupted, TrainingDiverged
from mipnerf.evaluation.views import Evaluator, load_trained
from mipnerf.network.choice import TOLERANCES
from mipnerf.network.fused import obstacle
from mipnerf.network.rendering import render_rays
from mipnerf.training.checkpoint import list_states
from mipnerf.training.history import read_rows
from mipnerf.training.loop import Trainer, train
from mipnerf.training.optimization import batch_gradients
from mipnerf.training.stepping import Stepper

IMPLEMENTATIONS = ("plain", "compiled", "fused")
STEPS = 12  # of a training; some are captured


class CheckFailed(Exception):
    """Something does not work as it should; the text says what."""


class NotHere(Exception):
    """Something cannot be tried on this device; the text says why."""


@dataclass(frozen=True)
class Bench:
    """Where and with what is checked."""

    device: torch.device
    folder: Path  # for files, empty
    run: RunConfig
    operation: OperationConfig

    def changed(self, name: str, train: dict[str, Any] | None = None, **operation: Any) -> "Bench":
        """The same with other values, in a folder of its own."""
        values = self.run.train.model_copy(update=train or {})
        folder = self.folder / name / "made_up" / "mipnerf" / "scene"
        folder.mkdir(parents=True, exist_ok=True)
        run = self.run.model_copy(update={"train": values})
        return replace(self, folder=folder, run=run, operation=self.operation.model_copy(update=operation))

    def trainer(self) -> Trainer:
        """A training at its start."""
        return Trainer.create(self.run, self.operation, made_up_scene(), threads=1)

    def train(self) -> dict[str, Tensor]:
        """Train to the end, or on; gives the weights, on the CPU."""
        train(self.run, self.operation, made_up_scene(), self.folder, threads=1)
        return load_trained(self.folder / "model.pt", torch.device("cpu")).model.state_dict()


def make_bench(device: torch.device, folder: Path, **model: Any) -> Bench:
    """A small run: its network is as deep as the reference's, unless `model` says otherwise."""
    values = {"net_width": 64, "net_width_condition": 32, "num_samples": 16, "max_deg_point": 10} | model
    train_values = {"batch_size": 256, "max_steps": STEPS, "lr_init": 1e-3, "lr_delay_steps": 0, "precision": "float32"}
    run = RunConfig.model_validate(
        {
            "dataset": "made_up",
            "variant": "mipnerf",
            "scene": "scene",
            "levels": 4,
            "model": values,
            "train": train_values,
        }
    )
    operation = OperationConfig(network="plain", print_every=2, save_every=4, validate_every=0)
    operation = operation.model_copy(update={"device": device.type})
    return Bench(device, folder, run, operation)


def take_steps(bench: Bench, count: int, captured: bool = True) -> tuple[Trainer, Tensor]:
    """A training after so many steps, and the losses of the last."""
    trainer = bench.trainer()
    trainer.can_capture = captured
    losses = torch.zeros(())
    for _ in range(count):
        trainer.step += 1
        losses = trainer.take_step(1e-3)
    return trainer, losses.clone()


def implementations_agree(bench: Bench) -> str:
    """Losses and gradients of all implementations, in both precisions, against the plain network in float32."""
    texts = []
    trainer = bench.trainer()
    batch = next(trainer.batcher)
    still = bench.run.train.model_copy(update={"randomized": False})
    expected: Tensor | None = None
    reason = obstacle(bench.run.model, bench.device)
    precisions = [torch.float32, torch.bfloat16]
    for precision in precisions:
        for network in IMPLEMENTATIONS:
            if network == "compiled" and bench.device.type == "cpu":
                continue  # it takes minutes, and tests compile without its code generator
            if network == "fused" and (reason or (precision is torch.bfloat16 and bench.device.type == "cpu")):
                continue  # the interpreter is wrong in bfloat16
            trainer.use(network)
            losses, gradients = batch_gradients(
                trainer.model, batch, still, bench.run.data, precision, compiled=trainer.compiled
            )
            result = torch.cat([value.flatten() for value in (losses, *gradients)]).double()
            expected = result if expected is None else expected
            deviation = float((result - expected).norm() / expected.norm())
            name = f"{network} {str(precision).removeprefix('torch.')}"
            if not deviation <= TOLERANCES[precision]:
                raise CheckFailed(f"{name} is off by {deviation:.2g} (allowed {TOLERANCES[precision]:.2g})")
            texts.append(f"{name} {deviation:.1g}")
    return "relative deviation of gradients: " + ", ".join(texts) + (f"; no kernels: {reason}" if reason else "")


def captured_steps_are_the_same(bench: Bench) -> str:
    """Steps as one graph against steps launched one by one, of each implementation and optimizer."""
    _needs_gpu(bench, "graphs are of a GPU")
    texts = []
    for network, optimizer in (*((network, "adam") for network in IMPLEMENTATIONS), ("plain", "muon")):
        if network == "fused" and obstacle(bench.run.model, bench.device):
            continue
        values = {"randomized": network != "compiled", "optimizer": optimizer}
        changed = bench.changed("captured", train=values, network=network)
        (one, losses), (other, expected) = (take_steps(changed, STEPS, captured) for captured in (True, False))
        if one.captured is None or other.captured is not None:
            raise CheckFailed(f"{network}, {optimizer}: steps are not captured (the log says why)")
        deviation = float((losses - expected).norm() / expected.norm())
        if not deviation <= 1e-3:
            raise CheckFailed(
                f"{network}, {optimizer}: the losses of captured steps are off by {deviation:.2g} after {STEPS}"
            )
        texts.append(f"{network}, {optimizer} {deviation:.1g}")
    return f"relative deviation of losses after {STEPS} steps: " + "; ".join(texts)


def steps_wait_for_nothing(bench: Bench, count: int = 100) -> str:
    """No step makes the host wait for the GPU, captured or not."""
    _needs_gpu(bench, "a CPU is not waited for")
    drawing = bench.changed("waiting", train={"backward_share": 0.15})
    for captured in (True, False):
        trainer, _ = take_steps(drawing, 8, captured)
        if captured and trainer.captured is None:
            raise CheckFailed("steps with backward_share are not captured (the log says why)")
        torch.cuda.synchronize(bench.device)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(count):
                trainer.step += 1
                trainer.window.add(trainer.take_step(1e-3))
        except RuntimeError as error:
            raise CheckFailed(f"{'captured' if captured else 'single'} steps: {error}") from None
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return f"{count} captured steps and {count} others"


def a_stopped_training_goes_on_to_the_bit(bench: Bench) -> str:
    """SIGTERM in the middle saves the state, and what goes on from there ends with the same bits."""
    whole = bench.changed("whole").train()
    stopped = bench.changed("stopped")
    with _signal_at_step(STEPS // 2):
        try:
            stopped.train()
            raise CheckFailed("SIGTERM did not stop a training")
        except Interrupted:
            pass
    if not list_states(next((stopped.folder / "checkpoints").glob("[0-9a-f]*"))):
        raise CheckFailed("a stopped training has left no checkpoint")
    if different := _different(whole, stopped.train()):
        raise CheckFailed(f"{len(different)} parameters have other bits than without the stop, such as {different[0]}")
    return f"stopped by SIGTERM after {STEPS // 2} of {STEPS} steps"


def states_go_to_a_cpu_and_back(bench: Bench) -> str:
    """A state that was saved on the device is trained on by a CPU, and its state by the device."""
    first = bench.changed("travels")
    for steps, device in ((4, bench.device.type), (8, "cpu"), (STEPS, bench.device.type)):
        with _signal_at_step(steps) if steps < STEPS else _nothing():
            try:
                replace(first, operation=first.operation.model_copy(update={"device": device})).train()
            except Interrupted:
                continue
    steps_done = [row.step for row in read_rows(first.folder / "history.csv")]
    if steps_done[-1] != STEPS:
        raise CheckFailed(f"the training ended at step {steps_done[-1]} of {STEPS}")
    return f"{bench.device.type} to cpu to {bench.device.type}"


def memory_that_runs_out_costs_only_time(bench: Bench) -> str:
    """With a GPU that is nearly full, fewer rays are computed at a time, in training and rendering."""
    _needs_gpu(bench, "only a GPU's memory is reckoned with")
    changed = bench.changed("full", train={"batch_size": 1 << 15})
    trainer = changed.trainer()
    before = trainer.microbatch_rays
    hoard = _fill(bench.device, 600 << 20)
    trainer.step = 1
    losses = trainer.take_step(1e-3)
    rays = next(trainer.batcher).rays
    rgb, _, _ = render_rays(trainer.model, rays, True, torch.float32)
    del hoard
    torch.cuda.empty_cache()
    if not (torch.isfinite(losses).all() and torch.isfinite(rgb).all()):
        raise CheckFailed("what was computed with a full memory is not finite")
    if trainer.microbatch_rays == before:
        raise CheckFailed(f"the memory held a batch of {before:,} rays although it was filled: nothing was tried")
    return f"{trainer.microbatch_rays:,} instead of {before:,} rays at a time"


def losses_that_are_no_numbers_end_a_training(bench: Bench) -> str:
    """A loss that is not finite ends the training with a message, and leaves no checkpoint of it."""
    changed = bench.changed("diverged", train={"lr_init": 1e30, "lr_final": 1e30, "max_steps": 2 * STEPS})
    try:
        changed.train()
    except TrainingDiverged as error:
        return str(error).partition(";")[0]
    raise CheckFailed("a training with a rate of 1e30 came to its end")


def a_trained_network_is_evaluated(bench: Bench) -> str:
    """All levels of a trained network are rendered and scored."""
    changed = bench.changed("evaluated")
    changed.train()
    trained = load_trained(changed.folder / "model.pt", bench.device)
    scene = made_up_scene()
    Evaluator.create(trained, changed.operation, threads=1).evaluate(scene, [1, 2], changed.folder)
    tables = sorted(changed.folder.glob("level_*/metrics.csv"))
    scores = [float(line.rsplit(",", 1)[1]) for path in tables for line in path.read_text().splitlines()[1:]]
    if len(tables) != 2 or not np.isfinite(scores).all():
        raise CheckFailed(f"scores of {len(tables)} levels: {scores}")
    return f"{len(scores)} scores of {len(tables)} levels"


def the_record_tells_the_machine(bench: Bench) -> str:
    """`config.yaml` names device, network and driver, and the energy where the driver tells it."""
    changed = bench.changed("recorded")
    changed.train()
    record = yaml.safe_load((changed.folder / "config.yaml").read_text(encoding="utf-8"))["record"]
    start = record["starts"][-1]
    is_gpu = bench.device.type == "cuda"
    known = [record["device"], record["network"], *([start["driver"], start["cuda"]] if is_gpu else [])]
    if not all(known):
        raise CheckFailed(f"the record lacks something: {known}")
    energy = start["gpu_joules"] if is_gpu else start["cpu_joules"]
    told = "energy is not told (pip install -e '.[energy]')" if energy is None else f"{energy} J"
    return ", ".join([*map(str, known), told])


CHECKS: dict[str, Callable[[Bench], str]] = {
    "implementations of the network agree": implementations_agree,
    "captured steps are the same steps": captured_steps_are_the_same,
    "steps wait for nothing": steps_wait_for_nothing,
    "stopped and continued to the bit": a_stopped_training_goes_on_to_the_bit,
    "checkpoints on other devices": states_go_to_a_cpu_and_back,
    "memory that runs out": memory_that_runs_out_costs_only_time,
    "losses that are not finite": losses_that_are_no_numbers_end_a_training,
    "evaluation": a_trained_network_is_evaluated,
    "record of the machine": the_record_tells_the_machine,
}


def _needs_gpu(bench: Bench, reason: str) -> None:
    if bench.device.type != "cuda":
        raise NotHere(reason)


def _different(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


@contextmanager
def _signal_at_step(step: int) -> Iterator[None]:
    """Send this process SIGTERM when a training takes this step."""
    original = Stepper.take_step

    def take_step(stepper: Stepper, learning_rate: float) -> Tensor:
        if stepper.step == step:
            signal.raise_signal(signal.SIGTERM)
        return original(stepper, learning_rate)

    setattr(Stepper, "take_step", take_step)  # noqa: B010
    try:
        yield
    finally:
        setattr(Stepper, "take_step", original)  # noqa: B010


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _fill(device: torch.device, left: int) -> list[Tensor]:
    """Tensors that leave so many bytes of a GPU's memory."""
    hoard = []
    while (size := min(free_memory(device) - left, 1 << 30)) > 1 << 24:
        hoard.append(torch.empty(size, dtype=torch.uint8, device=device))
    return hoard
