"""How long the configured runs will train on this machine."""

import logging
from typing import NamedTuple

from mipnerf.bench.speed import make_trainer, time_training
from mipnerf.config import OperationConfig, RunConfig, SuiteConfig
from mipnerf.config.runs import network_of, resolve_runs
from mipnerf.devices import resolve_device, resolve_precision

log = logging.getLogger(__name__)
# On a CPU a large batch is computed in parts anyway; as many of them do to know its speed.
CPU_PARTS_PER_WORKER = 8


class Estimate(NamedTuple):
    """What a run is expected to take."""

    run: str
    steps: int
    batch_size: int
    precision: str
    rays_per_s: float
    hours: float


def estimate_runs(suite: SuiteConfig, operation: OperationConfig, threads: int, seconds: float) -> list[Estimate]:
    """An estimate for every run that is trained, from a short training of each kind."""
    device = resolve_device(operation.device)
    speeds: dict[tuple[str, int, float, str, str], float] = {}
    estimates = []
    for run in resolve_runs(suite).values():
        if network_of(suite, run.variant):
            continue
        precision = str(resolve_precision(run.train.precision, device)).removeprefix("torch.")
        train = run.train
        alike = (run.model.model_dump_json(), train.batch_size, train.backward_share, train.optimizer, precision)
        if alike not in speeds:
            log.info("measuring the network of %s", run.name)
            speeds[alike] = measure_run(run, operation, threads, precision, seconds)
        steps = train.max_steps
        if train.minutes:
            steps = max(1, int(60 * train.minutes * speeds[alike] / train.batch_size))
        hours = steps * train.batch_size / speeds[alike] / 3600
        estimates.append(Estimate(run.name, steps, train.batch_size, precision, speeds[alike], hours))
    return estimates


def measure_run(run: RunConfig, operation: OperationConfig, threads: int, precision: str, seconds: float) -> float:
    """Rays a second of a short training."""
    trainer = make_trainer(run, operation, threads, precision)
    if trainer.device.type == "cpu":
        enough = CPU_PARTS_PER_WORKER * trainer.workers.count * trainer.microbatch_rays
        if enough < run.train.batch_size:
            smaller = run.train.model_copy(update={"batch_size": enough})
            trainer = make_trainer(run.model_copy(update={"train": smaller}), operation, threads, precision)
    return 1 / time_training(trainer, seconds, least=1).median
