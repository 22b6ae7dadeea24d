"""From the configuration to the runs that it asks for, and from the arguments of a job back to its run."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mipnerf.config import (
    PHOTO_KEYS,
    SEED_SUFFIX,
    OperationConfig,
    Overrides,
    RunConfig,
    RunsConfig,
    SuiteConfig,
    TrainConfig,
    TrainOverrides,
)
from mipnerf.config.layouts import CAPTURES, FOUND, PHOTOS
from mipnerf.config.sweeps import Combination, split_sweep
from mipnerf.config.validation import lookup, validated
from mipnerf.errors import ConfigError

# Above about 1e-2 even the smallest networks diverge.
MAX_SCALED_LEARNING_RATE = 1e-2
MAX_SCALED_FACTOR = 16


def resolve_runs(suite: SuiteConfig) -> dict[str, RunConfig]:
    """Every run that the configuration asks for, by its name, in its order."""
    resolved: dict[str, RunConfig] = {}
    for name in suite.variants:
        if split_seed(name)[1]:
            raise ConfigError(f"variants.{name} ends like a further seed of a variant; call it otherwise")
    known = {f"{name}/{scene}": scene for name, dataset in suite.datasets.items() for scene in dataset.scenes}
    for name in suite.crops:
        lookup(known, name, "crops")
    swept = [_combinations(suite, runs, f"runs[{i}]") for i, runs in enumerate(suite.runs)]
    for i, runs in enumerate(suite.runs):
        dataset = lookup(suite.datasets, runs.dataset, f"runs[{i}].dataset")
        scenes = dataset.scenes if runs.scenes == "all" else runs.scenes
        for scene in scenes:
            lookup(dict.fromkeys(dataset.scenes), scene, f"runs[{i}].scenes")
            seeds: Sequence[int | None] = runs.seeds or [None]
            for variant, combination, seed in itertools.product(runs.variants, swept[i], seeds):
                layers = [dataset, runs, suite, *_variant_layers(suite, variant, f"runs[{i}].variants")]
                if combination.values:
                    layers.append(Overrides.model_validate(combination.values))
                name = variant + combination.suffix + ("" if seed == seeds[0] else f"_seed{seed}")
                run = scaled(_resolve_run(suite, runs.dataset, name, scene, layers, seed), suite.scale)
                if run.name in resolved and resolved[run.name] != run:
                    raise ConfigError(
                        f"runs[{i}] asks for {run.name} with other values than an earlier entry; "
                        "give one of the two a variant of its own name under `variants`"
                    )
                resolved[run.name] = run
    for run in resolved.values():
        _check_network(resolved, run, network_of(suite, run.variant))
    _check_cameras(resolved)
    return resolved


def network_of(suite: SuiteConfig, variant: str) -> str | None:
    """The variant, of the same values and seed, whose networks `variant` evaluates; nothing where it trains its own."""
    method, seed = split_seed(variant)
    configured, sweep = split_sweep(method)
    model_of = suite.variants[configured].model_of
    return model_of and model_of + sweep + seed


def split_seed(variant: str) -> tuple[str, str]:
    """The variant, with its swept values, and what a further seed adds to its name: `_seed1`, or nothing."""
    method = SEED_SUFFIX.sub("", variant)
    return method, variant[len(method) :]


def _check_network(resolved: Mapping[str, RunConfig], run: RunConfig, model_of: str | None) -> None:
    """`ConfigError` unless the run whose network `run` evaluates is there, and trained as `run` says."""
    if model_of is None:
        return
    trained = resolved.get(f"{run.dataset}/{model_of}/{run.scene}")
    if trained is None:
        raise ConfigError(f"{run.name} evaluates the network of {model_of}; add {model_of} to the variants of its runs")
    if trained.training_settings() != run.training_settings():
        differing = sorted(set(trained.training_settings()) ^ set(run.training_settings()))
        raise ConfigError(
            f"{run.name} evaluates the network of {trained.name}, but is configured otherwise: {', '.join(differing)}; "
            "give both the same values"
        )


def _check_cameras(resolved: Mapping[str, RunConfig]) -> None:
    """`ConfigError` unless all runs of a scene want the same of its cameras, which one job finds for all."""
    first: dict[tuple[str, str], RunConfig] = {}
    for run in resolved.values():
        other = first.setdefault((run.dataset, run.scene), run)
        for key in PHOTO_KEYS:
            if getattr(run.data, key) != getattr(other.data, key):
                raise ConfigError(
                    f"{run.name} has data.{key} {getattr(run.data, key)}, and {other.name} {getattr(other.data, key)}, "
                    "but both have the same cameras: set it for the dataset, not for a variant"
                )


def named_run(suite: SuiteConfig, dataset: str, variant: str, scene: str) -> RunConfig | None:
    """What dataset and variant alone say of a run, or nothing where they are not both configured."""
    method, suffix = split_seed(variant)
    if split_sweep(method)[1]:
        return resolve_runs(suite).get(f"{dataset}/{variant}/{scene}")
    if dataset not in suite.datasets or method not in suite.variants:
        return None
    layers = [suite.datasets[dataset], *_variant_layers(suite, method, f"variants.{method}")]
    seed = int(suffix.removeprefix("_seed")) if suffix else None
    return _resolve_run(suite, dataset, variant, scene, layers, seed)


def run_of_scene(suite: SuiteConfig, dataset: str, scene: str) -> RunConfig:
    """The first configured run of a scene; where there is none, what dataset and top level alone say of one.

    Raises `ConfigError` for a dataset or scene that is not configured.
    """
    known = lookup(suite.datasets, dataset, "datasets")
    lookup(dict.fromkeys(known.scenes), scene, f"datasets.{dataset}.scenes")
    of_scene = [run for run in resolve_runs(suite).values() if (run.dataset, run.scene) == (dataset, scene)]
    return of_scene[0] if of_scene else _resolve_run(suite, dataset, "none", scene, [known, suite])


def scene_folder(suite: SuiteConfig, dataset: str, scene: str) -> str:
    """The folder from which a scene is read: its conversion, its cameras that were found, or what was fetched."""
    kind = suite.datasets[dataset]
    if kind.layout in ("multiscale", PHOTOS):
        return f"{suite.data_root}/{dataset}/{scene}"
    return f"{suite.data_root}/sources/{kind.source}/{scene}"


def _combinations(suite: SuiteConfig, runs: RunsConfig, where: str) -> list[Combination]:
    """What an entry of `runs` sweeps: one combination without values where it sweeps nothing."""
    if runs.sweeps is None:
        return [Combination("", {})]
    layers: dict[str, Overrides] = {"the top level": suite}
    for name in runs.variants:
        layers |= {f"variants.{name}": layer for layer in _variant_layers(suite, name, f"{where}.variants")}
    for name, (origin, layer) in itertools.product(runs.sweeps.lists(), layers.items()):
        section, key = name.split(".")
        if key in getattr(layer, section).model_fields_set:
            raise ConfigError(
                f"{where}.sweeps: {name} is swept, but {origin} gives it one value; remove one of the two"
            )
    return list(runs.sweeps.combinations())


def _variant_layers(suite: SuiteConfig, name: str, where: str) -> list[Overrides]:
    """The overrides of a variant, after those of the one whose networks it evaluates."""
    variant = lookup(suite.variants, name, where)
    if variant.model_of is None:
        return [variant]
    trained = lookup(suite.variants, variant.model_of, f"variants.{name}.model_of")
    if trained.model_of is not None:
        raise ConfigError(f"variants.{name}.model_of: {variant.model_of} has no networks of its own; name one that has")
    return [trained, variant]


def _resolve_run(
    suite: SuiteConfig,
    dataset: str,
    variant: str,
    scene: str,
    overrides: Sequence[Overrides],
    seed: int | None = None,
) -> RunConfig:
    kind = suite.datasets[dataset]
    if seed is not None:
        overrides = [*overrides, Overrides(train=TrainOverrides(seed=seed))]
    values: dict[str, Any] = {"dataset": dataset, "variant": variant, "scene": scene, "levels": kind.levels}
    for section in ("model", "train", "data"):
        values[section] = {}
        for layer in overrides:
            changes = getattr(layer, section).model_dump(exclude_unset=True)
            values[section] = _on_top(values[section], changes, f"{dataset}/{variant}/{scene}")
    # The folder of such a scene may also hold files of another layout.
    if kind.layout in (PHOTOS, *CAPTURES):
        values["data"]["layout"] = FOUND if kind.layout == PHOTOS else kind.layout
    run = validated(RunConfig, values, where=f"{dataset}/{variant}/{scene}")
    if kind.layout == "llff" and run.data.unbounded and not run.data.spherify:
        raise ConfigError(
            f"{run.name}: model.contraction {run.model.contraction} does not go with rays in NDC, which the layout "
            "llff has unless data.spherify is true; set model.contraction to none, or data.spherify to true"
        )
    return linearly_scaled(run)


def _on_top(values: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` with `changes`, of which a number of steps and one of minutes take the place of one another."""
    has_minutes = changes.get("minutes") is not None
    if has_minutes and "max_steps" in changes:
        raise ConfigError(
            f"{where}: train.max_steps {changes['max_steps']} and train.minutes {changes['minutes']} are both given, "
            "and each says how long to train; remove one of them"
        )
    replaced = "max_steps" if has_minutes else "minutes" if "max_steps" in changes else None
    return {key: value for key, value in values.items() if key != replaced} | dict(changes)


def linearly_scaled(run: RunConfig) -> RunConfig:
    """`run` with the steps and learning rates that `train.linear_scaling` stands for, and without it.

    The linear scaling rule, as the reference's authors advise it: half the batch has twice the steps at half the rate.
    """
    train = run.train
    if not train.linear_scaling:
        return run
    share = train.batch_size / TrainConfig().batch_size
    values = run.model_dump()
    values["train"] |= {
        "linear_scaling": False,
        "max_steps": train.max_steps if train.minutes else max(1, round(train.max_steps / share)),
        "lr_delay_steps": round(train.lr_delay_steps / share),
        "lr_init": train.lr_init * share,
        "lr_final": train.lr_final * share,
    }
    return validated(RunConfig, values, where=run.name)


def shrunk_batch(run: RunConfig) -> str | None:
    """What to tell whoever has made the reference's batch smaller and nothing else of its schedule."""
    train, reference = run.train, TrainConfig()
    is_same = (train.max_steps, train.lr_init) == (reference.max_steps, reference.lr_init)
    if train.batch_size >= reference.batch_size or not is_same or train.minutes:
        return None
    return (
        f"{run.name}: batches of {train.batch_size} rays with the steps and learning rate of {reference.batch_size} "
        "see less data with more noise; set train.linear_scaling: true to have both scaled"
    )


def scaled(run: RunConfig, scale: float) -> RunConfig:
    """`run` at about the share `scale` of its cost: all that it is made of shrinks together.

    Steps shrink as `scale`, the batch as its square root, width and samples as its fourth root, the sides of images as
    its eighth (by a power of two). The learning rate grows as far as the batch shrinks, which small networks bear: at
    1/256 the paper's run has 3906 steps of 256 rays, width 64, 32 samples, images of half the size and 8e-3.
    """
    if scale == 1:
        return run
    model, train, data = run.model, run.train, run.data
    root, fourth = scale**0.5, scale**0.25
    boost = max(1.0, min(1 / root, MAX_SCALED_LEARNING_RATE / train.lr_init))

    def shrunk(value: int, share: float, least: int) -> int:
        return max(min(value, least), round(value * share))

    values = run.model_dump()
    values["model"] |= {
        "net_width": shrunk(model.net_width, fourth, 8),
        "net_width_condition": shrunk(model.net_width_condition, fourth, 8),
        "num_samples": shrunk(model.num_samples, fourth, 4),
        "num_fine_samples": shrunk(model.num_fine_samples, fourth, 4),
    }
    values["train"] |= {
        "max_steps": train.max_steps if train.minutes else shrunk(train.max_steps, scale, 2),
        "minutes": train.minutes and train.minutes * scale,
        "lr_delay_steps": shrunk(train.lr_delay_steps, scale, 1),
        "batch_size": shrunk(train.batch_size, root, 16),
        "lr_init": train.lr_init * boost,
        "lr_final": train.lr_final * boost,
    }
    factor = max(data.factor, 1)
    values["data"]["factor"] = max(factor, min(factor * 2 ** int(-math.log2(scale) / 8 + 1e-9), MAX_SCALED_FACTOR))
    return validated(RunConfig, values, where=run.name)


def run_from_settings(dataset: str, variant: str, scene: str, settings: Sequence[str], levels: int = 4) -> RunConfig:
    """The run whose differences from the defaults are `settings`, each `section.key=value`."""
    values: dict[str, Any] = {"dataset": dataset, "variant": variant, "scene": scene, "levels": levels}
    values |= parse_settings(settings, ("model", "train", "data"))
    _on_top({}, values.get("train", {}), f"{dataset}/{variant}/{scene}")
    return linearly_scaled(validated(RunConfig, values))


def run_of_folder(folder: Path, settings: Sequence[str], levels: int) -> RunConfig:
    """`run_from_settings` of what a folder DATASET/VARIANT/SCENE is called after."""
    dataset, variant, scene = folder.resolve().parts[-3:]
    return run_from_settings(dataset, variant, scene, settings, levels)


def split_operation(settings: Sequence[str]) -> tuple[list[str], OperationConfig]:
    """The `settings` of a run, and the operation that the others, `operation.key=value`, give."""
    of_run = [setting for setting in settings if not setting.startswith("operation.")]
    return of_run, operation_from_settings([setting for setting in settings if setting not in of_run])


def operation_from_settings(settings: Sequence[str]) -> OperationConfig:
    """The operation whose differences from the defaults are `settings`, each `operation.key=value`."""
    return validated(OperationConfig, parse_settings(settings, ("operation",)).get("operation", {}))


def parse_settings(settings: Sequence[str], sections: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`section.key=value` strings as nested mappings; a value is read as JSON, else as a word."""
    values: dict[str, dict[str, Any]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, dot, key = path.partition(".")
        if not (equals and dot and section in sections):
            raise ConfigError(f"{setting!r} is not of the form section.key=value with section {' or '.join(sections)}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        values.setdefault(section, {})[key] = value
    return values


def retyped(node: Any) -> Any:
    """`node` with the numbers, truth values and nulls that Snakemake leaves as words within `--config key={...}`."""
    if isinstance(node, Mapping):
        return {key: retyped(value) for key, value in node.items()}
    if isinstance(node, list):
        return [retyped(item) for item in node]
    if not isinstance(node, str):
        return node
    try:
        value = json.loads(node.lower())
    except json.JSONDecodeError:
        return node
    return value if isinstance(value, int | float | None) else node
