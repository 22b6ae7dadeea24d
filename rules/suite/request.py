"""What the configuration asks for: its runs, their files and the arguments of their jobs."""

import inspect
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from snakemake.common import overwrite_function_params
from snakemake.exceptions import WorkflowError

from mipnerf.config import PHOTO_KEYS, RunConfig, SuiteConfig
from mipnerf.config.layouts import PHOTOS
from mipnerf.config.runs import network_of, resolve_runs, scene_folder
from mipnerf.config.sweeps import SWEPT
from mipnerf.errors import ConfigError
from mipnerf.evaluation.shards import shard_names
from mipnerf.report.figures.kinds import (
    DATASET_FIGURES,
    FIGURES,
    IN_TABLE,
    PRINT_WIDTHS,
    SCENE_FIGURES,
    dataset_kinds,
)
from mipnerf.report.names import table_names
from mipnerf.report.page.budget import ENCODED, ORBIT_BYTES, PIXEL_BYTES
from mipnerf.thirdparty import require_package
from mipnerf.training.status import is_imported
from rules.suite.shards import finished_shards

Method = TypeVar("Method", bound=Callable[..., Any])
Wildcards = Any  # of Snakemake: an attribute for each wildcard

TRAINED_FILES = ("model.pt", "config.yaml", "history.csv")


def one_of(known: Iterable[str], unless: Iterable[str] = ()) -> str:
    """A pattern for one of `known`, where what follows begins with none of `unless`."""
    exceptions = "".join(f"(?!{re.escape(name)}/)" for name in unless)
    return f"{exceptions}(?:{'|'.join(known) or '(?!)'})"


def asked_often(method: Method) -> Method:
    """`method`, with its parameters noted: Snakemake asks for them several times a job, at more cost than a call."""
    _, *parameters = inspect.signature(method).parameters.items()
    overwrite_function_params(method, dict(parameters))
    return method


class Request:
    """All runs of a configuration. `place` says where a file of theirs is: a module may put a prefix before it."""

    def __init__(self, suite: SuiteConfig, place: Callable[[str], str], is_main: bool) -> None:
        self.suite, self.place, self.is_main = suite, place, is_main
        self.runs = resolve_runs(suite)
        self.data = suite.data_root
        self.datasets = list(dict.fromkeys(run.dataset for run in self.runs.values()))
        self.scenes = list(dict.fromkeys((run.dataset, run.scene) for run in self.runs.values()))
        self.photo_datasets = [name for name, kind in suite.datasets.items() if kind.layout == PHOTOS]
        self.levels = [str(level) for level in range(max(dataset.levels for dataset in suite.datasets.values()))]
        self.shards = shard_names(suite.eval_shards)
        self.video_shards = shard_names(suite.video.shards)
        # Whether the weights for LPIPS were to be had, and where they are.
        self.lpips = [f"{self.data}/weights/lpips.json"] if suite.lpips else []
        variants = {name: [run.variant for run in self.runs.values() if run.dataset == name] for name in self.datasets}
        self.tables = {name: dataset for dataset in self.datasets for name in table_names(dataset, variants[dataset])}
        # Made by none of the rules: nothing could bring these runs back. A job on another machine makes what it was
        # told to, and need not read a file of every run for that.
        self.imported = [name for name in self.runs if is_main and is_imported(Path(place(f"results/{name}")))]
        # With thousands of runs, no job may look through all.
        self._folders: dict[tuple[str | None, str | None], list[str]] = {}
        for run in self.runs.values():
            for selected in ((None, None), (run.dataset, None), (run.dataset, run.scene)):
                self._folders.setdefault(selected, []).append(f"results/{run.name}")

    @property
    def operation(self) -> str:
        """What differs from the default of how jobs are run, as arguments of `--set`."""
        values = self.suite.operation.model_dump(exclude_defaults=True)
        return " ".join(shlex.quote(f"operation.{key}={value}") for key, value in values.items())

    @property
    def common_settings(self) -> list[str]:
        """The reference's network and batch, changed by what is said for all runs at once."""
        return [
            f"{section}.{key}={value}".lower()
            for section in ("model", "train")
            for key, value in getattr(self.suite, section).model_dump(exclude_unset=True).items()
        ]

    def variants(self, are_trained: bool | None = None) -> str:
        """A pattern for all variants, or those that are trained or take a network, each with any swept values and seed.

        The hundreds of names that these add would be looked through for every file.
        """
        names = [
            name
            for name, variant in self.suite.variants.items()
            if are_trained is None or are_trained == (variant.model_of is None)
        ]
        return one_of(names) + SWEPT + r"(?:_seed\d+)?"

    def run_of(self, wildcards: Wildcards) -> RunConfig:
        """The configuration of the run that the wildcards name."""
        return self.run(f"{wildcards.dataset}/{wildcards.variant}/{wildcards.scene}")

    def run(self, name: str) -> RunConfig:
        """The configuration of a run."""
        if name not in self.runs:
            known = "\n  ".join(self.runs)
            raise WorkflowError(
                f"{name} is not a run of this configuration; add it to `runs`. Its runs are:\n  {known}"
            )
        return self.runs[name]

    def folders(self, dataset: str | None = None, scene: str | None = None) -> list[str]:
        """The folders of the runs of a dataset and scene, or of all."""
        folders = self._folders.get((dataset, scene), [])
        if not folders:
            asked = "/".join(filter(None, [dataset, scene]))
            raise WorkflowError(f"no run of this configuration is of {asked}; add one to `runs`")
        return folders

    def files(self, name: str, dataset: str | None = None, scene: str | None = None) -> list[str]:
        """The file called `name` in the folder of every selected run."""
        return [f"{folder}/{name}" for folder in self.folders(dataset, scene)]

    def files_of_dataset(self, name: str) -> Callable[[Wildcards], list[str]]:
        """`files` of the dataset that the wildcards name."""
        return lambda wildcards: self.files(name, wildcards.dataset)

    def files_of_scene(self, name: str) -> Callable[[Wildcards], list[str]]:
        """`files` of the scene that the wildcards name."""
        return lambda wildcards: self.files(name, wildcards.dataset, wildcards.scene)

    def files_of_table(self, name: str) -> Callable[[Wildcards], list[str]]:
        """`files` of the dataset that a table is about."""
        return lambda wildcards: self.files(name, self.tables[wildcards.table])

    def manifest(self, dataset: str, scene: str) -> str:
        """The file that is there once a scene can be read, and tells when it changes; the scene is its folder."""
        return f"{scene_folder(self.suite, dataset, scene)}/manifest.json"

    @asked_often
    def manifest_of(self, wildcards: Wildcards) -> str:
        """`manifest` of the scene that the wildcards name."""
        return self.manifest(wildcards.dataset, wildcards.scene)

    def manifests(self) -> list[str]:
        """`manifest` of every scene."""
        return list(dict.fromkeys(self.manifest(dataset, scene) for dataset, scene in self.scenes))

    def source_of(self, wildcards: Wildcards) -> str:
        """The unpacked or rendered scene that a dataset is converted from."""
        return f"{self.data}/sources/{self.suite.datasets[wildcards.dataset].source}/{wildcards.scene}/manifest.json"

    def photos_of(self, wildcards: Wildcards) -> str:
        """`source_of` a scene whose cameras are to be found; refused at once where that cannot be."""
        manifest = f"{self.data}/{wildcards.dataset}/{wildcards.scene}/manifest.json"
        if self.is_main and not Path(self.place(manifest)).exists():
            try:
                require_package("pycolmap")
            except ConfigError as error:
                raise WorkflowError(str(error)) from None
        return self.source_of(wildcards)

    def photo_settings(self, wildcards: Wildcards) -> list[str]:
        """How the cameras of a scene are found, as all its runs have it, where that differs from the default."""
        run = self.run(self.folders(wildcards.dataset, wildcards.scene)[0].removeprefix("results/"))
        keys = tuple(f"data.{key}=" for key in PHOTO_KEYS)
        return [setting for setting in run.settings() if setting.startswith(keys)]

    def network_of(self, wildcards: Wildcards) -> str:
        """The run whose network is evaluated: that of the wildcards, or the one whose network it takes."""
        variant = network_of(self.suite, wildcards.variant) or wildcards.variant
        return f"{wildcards.dataset}/{variant}/{wildcards.scene}"

    def adopted_file(self, name: str) -> Callable[[Wildcards], str]:
        """The file called `name` of the run whose network is taken."""
        return lambda wildcards: f"results/{self.network_of(wildcards)}/{name}"

    def is_trained_here(self, wildcards: Wildcards) -> bool:
        """Whether a training stands between the data of a run and its evaluation."""
        self.run_of(wildcards)
        return self.network_of(wildcards) not in self.imported

    @asked_often
    def training_settings(self, wildcards: Wildcards) -> list[str]:
        """What the run changes of the defaults that matter to training, as arguments of `--set`."""
        return self.run_of(wildcards).training_settings()

    def levels_of(self, wildcards: Wildcards) -> list[int]:
        """The level that the wildcards name, or all of the run."""
        run = self.run_of(wildcards)
        level = getattr(wildcards, "level", None)
        if level is not None and int(level) >= run.levels:
            raise WorkflowError(f"{run.name} has no level {level}; its levels are 0 to {run.levels - 1}")
        return list(range(run.levels)) if level is None else [int(level)]

    @asked_often
    def scene_arguments(self, wildcards: Wildcards) -> list[str]:
        """The arguments that tell a training of its scene: how many levels it has, and where it comes from."""
        return ["--levels", str(self.run_of(wildcards).levels), "--manifest", self.place(self.source_of(wildcards))]

    @asked_often
    def evaluation_arguments(self, wildcards: Wildcards) -> list[str]:
        """The arguments that say what is evaluated, and how where that is not all views, each rendered as it is.

        A job does all levels of a run and one file of them, one level, or a shard of it. Not of the job's output:
        Snakemake does not notice changes of what depends on that.
        """
        run = self.run_of(wildcards)
        data = run.data
        arguments = ["--levels", *map(str, self.levels_of(wildcards))]
        if hasattr(wildcards, "shard"):
            arguments += ["--shard", wildcards.shard]
        elif not hasattr(wildcards, "level"):
            arguments += ["--collect", self.place(f"results/{run.name}/metrics.csv")]
        if data.max_test_views is not None:
            arguments += ["--max-views", str(data.max_test_views)]
        return arguments + ["--supersample"] * data.supersample + self.lpips_argument()

    @asked_often
    def shards_of(self, wildcards: Wildcards) -> list[str]:
        """The parts in which the levels of a run are evaluated; none where one job does all.

        A run that is evaluated keeps its parts: into how many it is divided changes no result.
        """
        folder = f"results/{self.run_of(wildcards).name}"
        levels = self.levels_of(wildcards)
        if hasattr(wildcards, "shard"):
            return []
        placed = Path(self.place(folder))
        is_divided = self.is_main and self.suite.eval_shards > 1 and not (placed / "metrics.csv").exists()
        names = self.shards if is_divided else finished_shards(placed, levels, preferred=self.suite.eval_shards)
        return [f"{folder}/level_{level}/shards/{name}.csv" for level in levels for name in names]

    def lpips_argument(self) -> list[str]:
        """The argument that has LPIPS measured or shown, or nothing."""
        return ["--lpips", *self.lpips] if self.lpips else []

    def frames_of(self, wildcards: Wildcards, variant: str | None = None) -> list[str]:
        """The manifests of all frames of a run's video, or of the same video of another `variant`."""
        run = self.run(f"{wildcards.dataset}/{variant or wildcards.variant}/{wildcards.scene}")
        known = self.suite.datasets[run.dataset].video_paths(run.data.spherify)
        if wildcards.path not in known:
            raise WorkflowError(f"{run.name} has no path {wildcards.path}; it has {' and '.join(known)}")
        try:
            require_package("imageio_ffmpeg")
        except ConfigError as error:
            raise WorkflowError(str(error)) from None
        return [f"results/{run.name}/video_{wildcards.path}/shard_{shard}.json" for shard in self.video_shards]

    @asked_often
    def orbit_path(self, wildcards: Wildcards) -> str:
        """The way of the camera around the scene of a run."""
        run = self.run_of(wildcards)
        return self.suite.datasets[run.dataset].video_paths(run.data.spherify)[0]

    def orbits(self) -> list[str]:
        """The views from all around for the report: of scene after scene, its variants, as long as it has room.

        Of several seeds the first, of sweeps none, and none of a network that is another's.
        """
        orbit = self.suite.orbit
        num_bytes = ENCODED * PIXEL_BYTES * orbit.frames * orbit.width**2 * 4 / 3  # all levels, of about square images
        places = {scene: i for i, scene in enumerate(self.scenes)}
        ordered = sorted(self.runs.values(), key=lambda run: places[run.dataset, run.scene])
        shown = [run for run in ordered if run.variant in self.suite.variants]
        names = [run.name for run in shown if network_of(self.suite, run.variant) is None]
        room = int(ORBIT_BYTES / num_bytes) if num_bytes else 0
        return [f"results/{name}/orbit/level_0.json" for name in names[:room]]

    def figures(self, kinds: Sequence[str] = tuple(FIGURES)) -> list[str]:
        """Every picture, or those of some kinds: of the datasets, then of the scenes."""
        pictures = []
        for dataset in self.datasets:
            members = [run for run in self.runs.values() if run.dataset == dataset]
            runs, is_timed = [(run.variant, run.scene) for run in members], any(run.train.minutes for run in members)
            drawn = dataset_kinds(dataset, self.suite.datasets[dataset].levels, runs, is_timed)
            pictures += [f"{dataset}_{kind}" for kind in drawn if kind in kinds]
        for dataset, scene in self.scenes:
            pictures += [f"{dataset}_{scene}_{kind}" for kind in SCENE_FIGURES if kind in kinds]
        return [f"results/plots/{name}.png" for name in pictures]

    def printed_figures(self) -> list[str]:
        """The figures of the datasets as PDFs for a paper, in both widths."""
        figures = self.figures(tuple(DATASET_FIGURES))
        return [f"{name.removesuffix('.png')}_{width}.pdf" for name in figures for width in PRINT_WIDTHS]

    def figures_in_table(self) -> list[str]:
        """The pictures that the short table shows."""
        return self.figures(IN_TABLE)

    def table_pages(self) -> list[str]:
        """The tables besides results/table.md."""
        return [f"results/tables/{name}.md" for name in self.tables]

    def crop_of(self, wildcards: Wildcards) -> list[Any]:
        """The arguments that say what is shown in detail, or nothing where that is to be found."""
        crop = self.suite.crops.get(f"{wildcards.dataset}/{wildcards.scene}")
        return ["--crop", crop.view, crop.x, crop.y, crop.size] if crop else []


def parents(files: Iterable[str]) -> list[str]:
    """The folders of `files`."""
    return [str(Path(file).parent) for file in files]


def named_folders(scenes: Iterable[tuple[str, str]], manifests: Mapping[Any, str] | Sequence[str]) -> list[str]:
    """The folder that every scene is read from, as DATASET/SCENE=FOLDER."""
    return [f"{'/'.join(scene)}={Path(file).parent}" for scene, file in zip(scenes, manifests, strict=True)]
