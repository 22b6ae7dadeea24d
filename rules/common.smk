"""The configuration as the rules see it, and the functions that give them inputs, parameters and resources."""

import os
import re
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config, validate

from mipnerf.config import parse_config
from mipnerf.datasets.sources import is_verified, local_source, source_urls
from mipnerf.errors import ConfigError
from mipnerf.events import check_events
from mipnerf.report.figures import FIGURES, IN_TABLE, SCENE_FIGURES, dataset_kinds
from mipnerf.report.names import table_files
from mipnerf.runs import network_of, resolve_runs, retyped, scene_folder
from mipnerf.shards import shard_names
from mipnerf.status import is_imported
from mipnerf.thirdparty import require_package

# Rules say `python`; it is the one that runs Snakemake, also where its environment is not activated. The library is the
# one beside the Snakefile, also where another environment runs the rules.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    PYTHONPATH=os.pathsep.join([workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]),
)

# Snakemake leaves numbers within `--config key={...}` as words.
update_config(config, retyped(workflow.config_settings.config))

try:
    SUITE = parse_config(config)
    check_events(SUITE.operation)
    RUNS = resolve_runs(SUITE)
    SOURCES = SUITE.scenes_of_sources()
    LOCAL = {name: local_source(name, SUITE.sources.get(name)) for name in SOURCES}
except ConfigError as error:
    raise WorkflowError(str(error)) from None
validate(config, "../config/schemas/config.schema.json")

# The folders of all runs, and of those of each dataset and scene; with thousands of runs, no job may look through all.
FOLDERS = {}
for run in RUNS.values():
    for selected in ((None, None), (run.dataset, None), (run.dataset, run.scene)):
        FOLDERS.setdefault(selected, []).append(f"results/{run.name}")

DATA = SUITE.data_root
DATASETS = list(dict.fromkeys(run.dataset for run in RUNS.values()))
MAX_LEVELS = max(dataset.levels for dataset in SUITE.datasets.values())

LEVELS = [str(level) for level in range(MAX_LEVELS)]
SHARDS = shard_names(SUITE.eval_shards)
VIDEO_SHARDS = shard_names(SUITE.video.shards)
IS_SHARDED = SUITE.eval_shards > 1

# Passed as resources, which are not tracked: these change no result, so a new value must not rerun a job.
OPERATION = " ".join(
    shlex.quote(f"operation.{key}={value}")
    for key, value in SUITE.operation.model_dump(exclude_defaults=True).items()
)
LAUNCHER = SUITE.launcher

REFERENCE = [
    "config/reference/per_scene.csv",
    "config/reference/multiscale_blender_table1.csv",
    "config/reference/single_scale_blender_table2.csv",
    "config/reference/supersampling_table3.csv",
]

# Whether the weights for LPIPS were to be had, and where they are.
LPIPS = [f"{DATA}/weights/lpips.json"] if SUITE.lpips else []

# With a name for every further seed.
VARIANTS = list(dict.fromkeys([*SUITE.variants, *(run.variant for run in RUNS.values())]))
ADOPTED = [name for name in VARIANTS if network_of(SUITE, name)]
TRAINED = [name for name in VARIANTS if name not in ADOPTED]

# Made by none of the rules: nothing could bring these runs back. A job on another machine makes what it was told to, and
# need not read a file of every run for that.
IMPORTED = [
    name for name in RUNS if workflow.is_main_process and is_imported(Path("results", name))
]

# What is here need not be had again from the network, whatever the list of places has become.
DOWNLOADED = [
    f"{source}/{scene}"
    for source in SOURCES
    for scene in SOURCES[source]
    if LOCAL[source] is None and Path(f"{DATA}/sources/{source}/{scene}/manifest.json").exists()
]


def names(known, unless=()):
    """A pattern for one of `known`, where what follows begins with none of `unless`."""
    exceptions = "".join(f"(?!{re.escape(name)}/)" for name in unless)
    return f"{exceptions}(?:{'|'.join(known) or '(?!)'})"


wildcard_constraints:
    dataset=names(SUITE.datasets),
    variant="|".join(VARIANTS),
    scene="|".join(
        sorted({scene for dataset in SUITE.datasets.values() for scene in dataset.scenes})
    ),
    source="|".join(sorted({dataset.source for dataset in SUITE.datasets.values()})),
    level="|".join(LEVELS),
    shard="|".join(SHARDS),


def run_of(wildcards):
    """The configuration of the run that the wildcards name."""
    name = f"{wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    if name not in RUNS:
        known = "\n  ".join(RUNS)
        raise WorkflowError(
            f"{name} is not a run of this configuration; add it to `runs`. Its runs are:\n  {known}"
        )
    return RUNS[name]


def settings_of(wildcards):
    """What the run changes of the defaults that matter to training, as arguments of `--set`."""
    return run_of(wildcards).training_settings()


def evaluation_of(wildcards):
    """The arguments that say how the run is evaluated, where that is not all views, each rendered as it is."""
    data = run_of(wildcards).data
    limit = [] if data.max_test_views is None else ["--max-views", str(data.max_test_views)]
    shard = ["--shard", wildcards.shard] if hasattr(wildcards, "shard") else []
    return limit + ["--supersample"] * data.supersample + shard


def lpips_argument():
    """The argument that has LPIPS measured or shown, or nothing."""
    return ["--lpips", *LPIPS] if LPIPS else []


def frames_of(wildcards, variant=None):
    """The manifests of all frames of a run's video, or of the same video of another `variant`."""
    run = run_of(
        SimpleNamespace(
            dataset=wildcards.dataset, variant=variant or wildcards.variant, scene=wildcards.scene
        )
    )
    known = SUITE.datasets[run.dataset].video_paths(run.data.spherify)
    if wildcards.path not in known:
        raise WorkflowError(
            f"{run.name} has no path {wildcards.path}; it has {' and '.join(known)}"
        )
    try:
        require_package("imageio_ffmpeg")
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    folder = f"results/{run.name}/video_{wildcards.path}"
    return [f"{folder}/shard_{shard}.json" for shard in VIDEO_SHARDS]


def scene_file(dataset, scene):
    """The file that is there once a scene can be read, and tells when it changes; the scene is its folder."""
    return f"{scene_folder(SUITE, dataset, scene)}/manifest.json"


def scene_of(wildcards):
    """`scene_file` of the scene that the wildcards name."""
    return scene_file(wildcards.dataset, wildcards.scene)


def evaluated_scene_of(wildcards):
    """`scene_of`, whose age matters only where no training stands between it and the evaluation."""
    network = (
        adopted_run(wildcards)
        if wildcards.variant in ADOPTED
        else f"results/{run_of(wildcards).name}"
    )
    is_trained = network.removeprefix("results/") not in IMPORTED
    return ancient(scene_of(wildcards)) if is_trained else scene_of(wildcards)


def adopted_run(wildcards):
    """The folder of the run whose network is evaluated."""
    return f"results/{wildcards.dataset}/{network_of(SUITE, wildcards.variant)}/{wildcards.scene}"


def runs_of(dataset=None, scene=None):
    """The folders of the runs of a dataset and scene, or of all."""
    folders = FOLDERS.get((dataset, scene), [])
    if not folders:
        asked = "/".join(filter(None, [dataset, scene]))
        raise WorkflowError(f"no run of this configuration is of {asked}; add one to `runs`")
    return folders


def files_of_runs(name, **selection):
    """The file called `name` in the folder of every selected run."""
    return [f"{folder}/{name}" for folder in runs_of(**selection)]


def total_cores():
    """What `--cores` said, of which a job's threads are a share; 0 on a cluster, where a job has what it was granted."""
    return (workflow.resource_settings.cores or 0) if workflow.is_main_process else 0


def remember_forced_training():
    """Tell the jobs which trainings were asked for by name: they are done anew, while others go on from where they are."""
    dag = workflow.dag_settings
    forced = {str(target) for target in dag.forcerun} | {
        str(target) for target in dag.targets if dag.forcetargets
    }
    folders = runs_of()
    if not (dag.forceall or "train" in forced):
        outputs = ("model.pt", "config.yaml", "history.csv")
        folders = [
            folder for folder in folders if forced & {f"{folder}/{name}" for name in outputs}
        ]
    if folders:
        os.environ.update(MIPNERF_FRESH=" ".join([str(time.time_ns()), *folders]))


def archive_of(wildcards):
    """The local archive or folder that a source is taken from."""
    return archive_path(wildcards.source)


def archive_path(source):
    """The path of the local archive or folder of a source, which is there."""
    if not Path(LOCAL[source]).exists():
        raise WorkflowError(
            missing_source(source, f"is {SUITE.sources[source]}, which does not exist")
        )
    return LOCAL[source]


def urls_of(wildcards):
    """Where a scene is downloaded from, in order."""
    return source_urls(SUITE.downloads.get(wildcards.source, []), wildcards.scene)


def missing_source(source, problem):
    """What to do about a source that is not there."""
    return (
        f"sources.{source} {problem}: give the archive or folder that holds the scenes, in a configuration file or "
        f"by --config 'sources={{{source}: /path/to/{source}.zip}}'"
    )


def checksums_of(wildcards):
    """The argument that names the official sums of a scene, or nothing where it has none."""
    path = f"config/checksums/{wildcards.source}/{wildcards.scene}.sha256"
    return ["--checksums", path] if Path(path).exists() else []


def asked_runs():
    """The runs that the command line names, or all where it asks for something else as well, or for nothing.

    Snakemake knows its targets only after it has read this file, and takes a table that is there for a finished one if
    an archive is missing.
    """
    words = ("all", "data", "models", "metrics", "figures")
    targets = [word for word in sys.argv[1:] if word.startswith("results/") or word in words]
    asked = {
        target: name for target in targets for name in RUNS if target.startswith(f"results/{name}/")
    }
    is_all = not targets or len(asked) < len(set(targets))
    return list(RUNS.values()) if is_all else [RUNS[name] for name in asked.values()]


def check_sources():
    """Refuse a run whose data is neither there nor to be had, or not the official one, before any job starts."""
    for run in asked_runs():
        source = SUITE.datasets[run.dataset].source
        if source != "bricks":
            if not Path(scene_file(run.dataset, run.scene)).exists():
                check_source(source, run.scene)
            check_fetched(Path(f"{DATA}/sources/{source}/{run.scene}/manifest.json"))


def check_source(source, scene):
    """Refuse a source that is neither on this machine nor in the network."""
    if LOCAL[source] is not None:
        archive_path(source)
    elif not source_urls(SUITE.downloads.get(source, []), scene):
        raise WorkflowError(
            missing_source(source, f"is not set, and downloads.{source} has no URL for {scene}")
        )


def check_fetched(manifest):
    """Refuse a scene that was taken when other files than the official ones were allowed."""
    if SUITE.verify == "strict" and is_verified(manifest) is False:
        raise WorkflowError(
            f"{manifest.parent} holds other files than the official ones: remove that folder to have it fetched anew, "
            "or accept it with `verify: warn`"
        )


def source_of(wildcards):
    """The unpacked or rendered scene that a dataset is converted from."""
    return (
        f"{DATA}/sources/{SUITE.datasets[wildcards.dataset].source}/{wildcards.scene}/manifest.json"
    )


def renderings_of(wildcards):
    """The folders of all renderings of a scene."""
    levels = range(SUITE.datasets[wildcards.dataset].levels)
    folders = runs_of(dataset=wildcards.dataset, scene=wildcards.scene)
    return [f"{folder}/level_{level}/renderings" for folder in folders for level in levels]


def all_renderings():
    """The folders of all renderings of all runs."""
    return [
        f"results/{name}/level_{level}/renderings"
        for name, run in RUNS.items()
        for level in range(run.levels)
    ]


def data_of_scenes():
    """The folder that every scene is read from, as DATASET/SCENE=FOLDER."""
    scenes = dict.fromkeys((run.dataset, run.scene) for run in RUNS.values())
    return [f"{dataset}/{scene}={scene_folder(SUITE, dataset, scene)}" for dataset, scene in scenes]


def levels_of(wildcards):
    """The metrics of all levels of a run."""
    folder = f"results/{wildcards.dataset}/{wildcards.variant}/{wildcards.scene}"
    return [f"{folder}/level_{level}/metrics.csv" for level in range(run_of(wildcards).levels)]


def other_tables():
    """Every file of the tables but results/table.md; those for the browser are shown in Snakemake's report."""
    files = [f"results/{name}" for name in table_files(DATASETS) if name != "table.md"]
    return [shown_table(file) if file.endswith(".html") else file for file in files]


def shown_table(file):
    """A table that Snakemake's report shows under its name."""
    labels = {"table": Path(file).stem}
    return report(file, caption="captions/table.rst", category="Tables", labels=labels)


def shards_of(name):
    """The files called `name` in the shards of a level."""
    folder = "results/{dataset}/{variant}/{scene}/level_{level}/shards"
    return [f"{folder}/{shard}/{name}" for shard in SHARDS]


def figures(kinds=tuple(FIGURES)):
    """Every picture, or those of some kinds: of the datasets, then of the scenes."""
    pictures = []
    for dataset in DATASETS:
        runs = [(run.variant, run.scene) for run in RUNS.values() if run.dataset == dataset]
        drawn = dataset_kinds(dataset, SUITE.datasets[dataset].levels, runs)
        pictures += [f"{dataset}_{kind}" for kind in drawn if kind in kinds]
    scenes = dict.fromkeys((run.dataset, run.scene) for run in RUNS.values())
    for dataset, scene in scenes:
        pictures += [f"{dataset}_{scene}_{kind}" for kind in SCENE_FIGURES if kind in kinds]
    return [f"results/plots/{name}.png" for name in pictures]


def crop_of(wildcards):
    """The arguments that say what is shown in detail, or nothing where that is to be found."""
    crop = SUITE.crops.get(f"{wildcards.dataset}/{wildcards.scene}")
    return ["--crop", crop.view, crop.x, crop.y, crop.size] if crop else []


# A job on another machine needs no more than its own inputs.
if workflow.is_main_process:
    check_sources()
