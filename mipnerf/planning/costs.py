"""Jobs, device time, disk and memory of a configuration, by counting; nothing is measured here."""

from collections import Counter
from functools import cache
from typing import NamedTuple

import torch

from mipnerf.bench.operations import backward_share, rendering_flops, training_flops
from mipnerf.config import ModelConfig, RunConfig, SuiteConfig
from mipnerf.config.layouts import CAPTURES, PHOTOS
from mipnerf.config.runs import network_of
from mipnerf.datasets.fetching.sources import local_source
from mipnerf.network.model import MipNerf
from mipnerf.planning.scheduling import Task
from mipnerf.report.names import is_swept, table_names

BYTES_PER_PIXEL = 1.0  # of a PNG: 0.4 where much is background, 1.6 of a photograph
RENDERING_BYTES = 2.5  # with depth and opacity
STATES = 3  # of every parameter in a checkpoint: itself and Adam's two moments; Muon has one, `train.average` adds one
FLOAT = 4  # bytes


class SceneSize(NamedTuple):
    """Pixels along the sides of an image at full resolution, and views of each split."""

    width: int
    height: int
    train: int
    val: int
    test: int


BLENDER, FORWARD_FACING, CAPTURE = (
    SceneSize(800, 800, 100, 100, 200),
    SceneSize(4032, 3024, 33, 0, 5),
    SceneSize(1920, 1080, 88, 0, 12),
)


class Speed(NamedTuple):
    """Floating-point operations of the layers that a device does a second, in training and in rendering."""

    training: float
    rendering: float
    device: str  # its type
    origin: str


class RunCost(NamedTuple):
    """Device seconds of a run: its training, 0 where it takes another's network, and the evaluation of each level."""

    run: RunConfig
    training: float
    evaluations: list[float]


def count_jobs(suite: SuiteConfig, runs: dict[str, RunConfig]) -> Counter[str]:
    """How many jobs of each rule make the tables, where nothing is there yet."""
    scenes = {(run.dataset, run.scene) for run in runs.values()}
    sources = {(suite.datasets[dataset].source, scene) for dataset, scene in scenes}
    jobs = Counter(all=1, aggregate=1, lpips_weights=int(suite.lpips), strip=len(scenes), evaluate=len(runs))
    for dataset in {dataset for dataset, _ in scenes}:
        members = [run for run in runs.values() if run.dataset == dataset]
        variants = [run.variant for run in members]
        is_timed = any(run.train.minutes for run in members)
        jobs += Counter(plot=2 + is_swept(variants) + is_timed, table=len(table_names(dataset, variants)))
    jobs["convert_scene"] = sum(suite.datasets[dataset].layout == "multiscale" for dataset, _ in scenes)
    jobs["find_cameras"] = sum(suite.datasets[dataset].layout == PHOTOS for dataset, _ in scenes)
    for source, _ in sources:
        is_local = source != "bricks" and local_source(source, suite.sources.get(source))
        jobs["render_bricks" if source == "bricks" else "fetch_scene" if is_local else "download_scene"] += 1
    for run in runs.values():
        jobs["adopt" if network_of(suite, run.variant) else "train"] += 1
        if suite.eval_shards > 1:
            jobs["evaluate_shard"] += run.levels * suite.eval_shards
    return +jobs


def scene_size(suite: SuiteConfig, dataset: str) -> SceneSize:
    """How large a scene of `dataset` is: exact for the bricks, those of the papers, and a guess for your own."""
    kind, bricks = suite.datasets[dataset], suite.bricks
    if kind.source == "bricks":
        return SceneSize(bricks.size, bricks.size, bricks.num_train, bricks.num_val, bricks.num_test)
    return CAPTURE if kind.layout in (PHOTOS, *CAPTURES) else FORWARD_FACING if kind.layout == "llff" else BLENDER


def level_pixels(run: RunConfig, size: SceneSize, level: int) -> int:
    """Pixels of an image of the run at a resolution level."""
    shrink = max(1, run.data.factor) << level
    return (size.width // shrink) * (size.height // shrink)


def evaluated_views(run: RunConfig, size: SceneSize) -> int:
    """Views that are evaluated at a level."""
    return min(size.test, run.data.max_test_views or size.test)


def cost_of(suite: SuiteConfig, run: RunConfig, speed: Speed) -> RunCost:
    """The device time of a run."""
    size, train = scene_size(suite, run.dataset), run.train
    training = 60 * train.minutes if train.minutes else _steps_seconds(run, speed)
    evaluations = []
    for level in range(run.levels):
        rays = evaluated_views(run, size) * level_pixels(run, size, level) * (4**level if run.data.supersample else 1)
        evaluations.append(rays * _rendering_flops(run.model) / speed.rendering)
    return RunCost(run, 0.0 if network_of(suite, run.variant) else training, evaluations)


def _steps_seconds(run: RunConfig, speed: Speed) -> float:
    flops = _training_flops(run.model, backward_share(run, speed.device))
    return run.train.max_steps * run.train.batch_size * flops / speed.training


def tasks_of(suite: SuiteConfig, costs: list[RunCost]) -> list[Task]:
    """What occupies a device: trainings, then their evaluations, also those by adopted runs."""
    trained = [cost for cost in costs if not network_of(suite, cost.run.variant)]
    position = {cost.run.name: i for i, cost in enumerate(trained)}
    tasks = [Task(cost.training) for cost in trained]
    for cost in costs:
        run = cost.run
        network = network_of(suite, run.variant) or run.variant
        before = position[f"{run.dataset}/{network}/{run.scene}"]
        # One job renders all levels, or one each shard of each level; what then puts these together takes no time.
        jobs = cost.evaluations if suite.eval_shards > 1 else [sum(cost.evaluations)]
        for seconds in jobs:
            tasks += [Task(seconds / suite.eval_shards, (before,))] * suite.eval_shards
    return tasks


def disk_bytes(suite: SuiteConfig, runs: dict[str, RunConfig]) -> dict[str, float]:
    """Bytes on disk at the end, by what they are."""
    disk = dict.fromkeys(("checkpoints", "models", "renderings", "data"), 0.0)
    for run in runs.values():
        size, weights = scene_size(suite, run.dataset), FLOAT * num_parameters(run.model)
        disk["models"] += weights
        if not network_of(suite, run.variant):
            disk["checkpoints"] += STATES * weights * suite.operation.keep_checkpoints
        pixels = sum(level_pixels(run, size, level) for level in range(run.levels))
        disk["renderings"] += RENDERING_BYTES * pixels * evaluated_views(run, size)
    sources = set()
    for dataset, scene in {(run.dataset, run.scene) for run in runs.values()}:
        size, kind = scene_size(suite, dataset), suite.datasets[dataset]
        once = BYTES_PER_PIXEL * size.width * size.height * (size.train + size.val + size.test)
        if (kind.source, scene) not in sources:
            disk["data"] += once
        sources.add((kind.source, scene))
        if kind.layout == "multiscale":
            disk["data"] += once * sum(4.0**-level for level in range(kind.levels))
    return disk


def memory_bytes(suite: SuiteConfig, runs: dict[str, RunConfig]) -> dict[str, float]:
    """Bytes that the largest training holds all the time, by what they are; those of a step come on top."""
    pixels = weights = 0
    for run in runs.values():
        size = scene_size(suite, run.dataset)
        levels = range(run.data.train_levels or run.levels)
        pixels = max(pixels, 4 * size.train * sum(level_pixels(run, size, level) for level in levels))
        weights = max(weights, FLOAT * num_parameters(run.model))
    return {"pixels of its training views": pixels, "weights, gradients, moments": (STATES + 1) * weights}


@cache
def num_parameters(model: ModelConfig) -> int:
    """Weights and biases of all networks of a model."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MipNerf(model).parameters())


_training_flops, _rendering_flops = cache(training_flops), cache(rendering_flops)
