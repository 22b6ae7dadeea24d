"""How a step of training is computed: by which implementation of the network, in how many parts, captured or not."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.scene import Scene
from mipnerf.devices import compiled, describe_device, keep_kernels, resolve_device, resolve_precision
from mipnerf.errors import ConfigError
from mipnerf.network.choice import TOLERANCES, candidates, fastest
from mipnerf.network.fused import launches_on
from mipnerf.network.model import LevelOutput, MipNerf
from mipnerf.network.packing import Launch
from mipnerf.training.adam import Adam
from mipnerf.training.batching import Batch, RayBatcher, suitable_microbatch
from mipnerf.training.capture import CapturedStep
from mipnerf.training.distributed import ALONE, World
from mipnerf.training.forks import Forks, Gradient, can_fork
from mipnerf.training.muon import Muon
from mipnerf.training.optimization import (
    batch_gradients,
    make_optimizer,
    part_gradients,
    part_seed,
    parts_of,
    train_step,
)
from mipnerf.workers import Workers

log = logging.getLogger(__name__)

WARM_UP_STEPS = 3  # before a step is captured: what is made at the first ones must not be a part of it


@dataclass
class Stepper:
    """Takes the steps of a training."""

    run: RunConfig
    operation: OperationConfig
    device: torch.device
    precision: torch.dtype
    model: MipNerf
    optimizer: Adam | Muon
    batcher: RayBatcher
    workers: Workers
    microbatch_rays: int  # computed at a time
    share: range  # rays of each batch that are computed by this process
    world: World = ALONE
    network: str = "plain"  # the implementation that computes it
    compiled: Callable[..., list[LevelOutput]] | None = None  # what renders the levels, if not the model itself
    captured: CapturedStep | None = None  # the whole step as one graph of a GPU
    forks: Forks | None = None  # processes that compute parts of each batch
    trial_seconds: float = 1.0  # for each implementation of the network
    step: int = 0
    can_capture: bool = True  # where the device can
    can_fork: bool = field(default_factory=can_fork)
    taken: int = 0  # steps since the way to compute them was last changed
    generators: dict[int, torch.Generator] = field(default_factory=dict)  # of a captured step's parts, by their start
    choice: tuple[str, ...] = ()  # of implementations, while none is chosen

    @classmethod
    def create(
        cls, run: RunConfig, operation: OperationConfig, scene: Scene, threads: int = 0, world: World = ALONE
    ) -> Self:
        """A training at its start; `threads` 0 takes all CPUs, of which each process of `world` has its share."""
        if run.model.samples_disparity and (scene.nears <= 0).any():
            key = "lindisp" if run.model.lindisp else f"contraction {run.model.contraction}"
            raise ConfigError(f"model.{key} divides by near, which is 0 for this scene: set a positive data.near")
        device = resolve_device(operation.device)
        keep_kernels(device)
        names = candidates(run.model, operation, device)
        precision = resolve_precision(run.train.precision, device)
        microbatch_rays = operation.microbatch_rays or suitable_microbatch(run, device)
        with torch.random.fork_rng():
            torch.manual_seed(run.train.seed)
            model = MipNerf(run.model).to(device)
        model.backward_share = run.train.backward_share
        stepper = cls(
            run=run,
            operation=operation,
            device=device,
            precision=precision,
            model=model,
            optimizer=make_optimizer(model, run.train, precision),
            batcher=RayBatcher(scene, run.train.batch_size, run.data, device, seed=run.train.seed),
            # Threads would share the one generator that compiled code reads, and Triton's interpreter.
            workers=Workers(world.threads(threads) if names == ["plain"] else 1, device),
            microbatch_rays=microbatch_rays,
            share=world.share(run.train.batch_size, microbatch_rays),
            world=world,
            choice=tuple(names[1:] and names),
        )
        stepper.use(names[0])
        return stepper

    @property
    def can_be_captured(self) -> bool:
        """Whether a whole step can be one graph: on a GPU, of one process."""
        return self.can_capture and self.device.type == "cuda" and self.world.size == 1

    @property
    def way(self) -> str:
        """The implementation and how it is started, in a word; `use_way` knows it."""
        launch = self.model.fused
        return self.network if launch is None else f"{self.network} {launch.block} {launch.warps}"

    def use_way(self, way: str) -> None:
        """Use what `way` was elsewhere, and choose no more."""
        network, *launch = way.split()
        self.use(network, Launch(*map(int, launch)) if launch else None)
        self.choice = ()

    def use(self, network: str, launch: Launch | None = None) -> None:
        """Compute the network by this implementation from now on, fused kernels as `launch` says."""
        self.network, self.captured, self.taken = network, None, 0
        self.model.fused = (launch or launches_on(self.device)[0]) if network == "fused" else None
        self.compiled = compiled(self.model.render_levels) if network == "compiled" else None

    def choose(self) -> None:
        """Use the fastest implementation of those left to choose from; the first process decides for all."""
        batch = self._peek()
        # Each would draw its own random numbers.
        train = self.run.train.model_copy(update={"randomized": False})

        def trial(way: str) -> Callable[[], list[Tensor]]:
            def call() -> list[Tensor]:
                if self.way != way:
                    self.use_way(way)
                end = self.microbatch_rays
                part = Batch(batch.rays[:end], batch.pixels[:end], batch.importance[:end])
                losses, gradients = batch_gradients(
                    self.model, part, train, self.run.data, self.precision, compiled=self.compiled
                )
                return [losses, *gradients]

            return call

        ways = [name for name in self.choice if name != "fused"]
        if "fused" in self.choice:
            ways += [f"fused {launch.block} {launch.warps}" for launch in launches_on(self.device)]
        trials = {way: trial(way) for way in ways}
        tolerance = TOLERANCES[self.precision]
        while True:
            try:
                chosen = self.world.from_main(lambda: fastest(trials, self.device, tolerance, self.trial_seconds))
                break
            except torch.cuda.OutOfMemoryError:
                if self.operation.microbatch_rays or self.microbatch_rays == 1:
                    chosen = ways[0]  # whose first step says what to do
                    break
                self.microbatch_rays = -(-self.microbatch_rays // 2)
            torch.cuda.empty_cache()
        self.use_way(chosen)

    def restore_draws(self, state: Tensor) -> None:
        """Draw batches from a state of the generator on; that of another kind of device tells nothing here."""
        if len(state) == len(self.batcher.generator.get_state()):
            self.batcher.generator.set_state(state)
        else:
            log.warning("the state was saved on another kind of device: batches are drawn anew")
            self.batcher.generator.manual_seed(part_seed(self.run.train.seed, self.step, 0))

    def _peek(self) -> Batch:
        """The next batch, which will come once more."""
        state = self.batcher.generator.get_state()
        batch = next(self.batcher)
        self.batcher.generator.set_state(state)
        return batch

    def take_step(self, learning_rate: float) -> Tensor:
        """One step on the next batch, in as many parts as fit into memory; returns the losses [L] of the levels."""
        if self.choice:
            self.choose()
        self.optimizer.set_learning_rate(learning_rate)
        if self.can_be_captured and self.captured is None and self.taken == WARM_UP_STEPS:
            self._capture()
        self.taken += 1
        if self.captured is not None:
            self._seed()
            return self.captured()
        if self.forks is None and self.can_be_forked:
            self._fork()
        if self.forks is not None:
            self.forks.begin(self.step, self.batcher.generator.get_state())
        batch = next(self.batcher)
        while True:
            try:
                return self._compute(batch)
            except torch.cuda.OutOfMemoryError as error:
                if self.operation.microbatch_rays or self.microbatch_rays == 1:
                    raise ConfigError(
                        f"{self.run.name}: {self.microbatch_rays} rays at a time do not fit into the memory of "
                        f"{describe_device(self.device)}; lower operation.microbatch_rays (0 finds what fits), "
                        f"model.num_samples or model.net_width ({error})"
                    ) from None
                self.microbatch_rays = -(-self.microbatch_rays // 2)
            except RuntimeError as error:
                if self.compiled is None:
                    raise
                log.warning("the network cannot be compiled and runs as it is (%s)", str(error).partition("\n")[0])
                self.use("plain")
                continue
            # Outside of the handler, where the error no longer holds on to what filled the memory.
            torch.cuda.empty_cache()
            self.taken = 0
            log.warning("out of memory: from now on %d rays are computed at a time", self.microbatch_rays)

    def _compute(self, batch: Batch, generators: Mapping[int, torch.Generator] | None = None) -> Tensor:
        return train_step(
            self.model,
            self.optimizer,
            batch,
            None,
            self.run.train,
            self.run.data,
            self.precision,
            self.microbatch_rays,
            (self.run.train.seed, self.step),
            self.workers,
            self.compiled,
            self.share,
            self.world,
            generators,
            self.forks,
        )

    @property
    def can_be_forked(self) -> bool:
        """Whether processes instead of threads can compute parts of a batch: on a CPU, for a world of one."""
        return self.can_fork and self.num_forks > 1 and self.world.size == 1

    @property
    def num_forks(self) -> int:
        """Processes among which the parts of a batch can be divided, this one among them."""
        return min(self.workers.count, self.num_parts)

    @property
    def num_parts(self) -> int:
        """Of this process's rays."""
        return -(-len(self.share) // self.microbatch_rays)

    def _fork(self) -> None:
        """Start the processes that compute parts of a batch; where that is impossible, threads do it."""
        try:
            self.forks = Forks(
                self.num_forks,
                self.num_parts,
                self._gradients,
                list(self.model.parameters()),
                self.run.model.num_levels,
                self.batcher.generator.get_state(),
            )
        except OSError as error:
            self.can_fork = False
            log.warning(
                "threads compute the parts of a batch, which is slower: processes cannot be started (%s)", error
            )

    def _gradients(self, step: int, draws: Tensor, numbers: range) -> Iterator[Gradient]:
        """In a fork: the gradients of some parts of the batch that is drawn next from the state `draws`."""
        self.batcher.generator.set_state(draws)
        parts = parts_of(self.share, self.microbatch_rays)
        gradient_of_part = part_gradients(
            self.model,
            next(self.batcher),
            self.run.train,
            self.run.data,
            self.precision,
            parts,
            (self.run.train.seed, step),
        )
        starts = list(parts)
        return map(gradient_of_part, [starts[number] for number in numbers])

    def _capture(self) -> None:
        """Record a step on the GPU, all of it; where that is impossible, steps are launched one by one as before."""
        starts = range(0, self.run.train.batch_size, self.microbatch_rays)
        self.generators = {start: torch.Generator(self.device) for start in starts}
        state = self.batcher.generator.get_state()
        try:
            self.captured = CapturedStep(
                lambda: self._compute(next(self.batcher), self.generators),
                [self.batcher.generator, *self.generators.values()],
            )
        except RuntimeError as error:
            log.warning("steps are not captured, and slower (%s)", str(error).partition("\n")[0])
            self.batcher.generator.set_state(state)
            with suppress(RuntimeError):  # PyTorch before 2.12 takes a capture that has failed for one that goes on
                torch.cuda.empty_cache()

    def _seed(self) -> None:
        """Have the captured step draw the random numbers of this one."""
        seed = self.run.train.seed
        for start, generator in self.generators.items():
            generator.manual_seed(part_seed(seed, self.step, start))
        if self.compiled is not None:
            torch.manual_seed(part_seed(seed, self.step, 0))
