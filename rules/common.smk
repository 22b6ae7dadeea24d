"""The configuration as the rules see it; what they compute from it is in rules/suite/."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import validate

# The workflow's own folder; the working directory may be another one.
HOME = Path(workflow.current_basedir).parent
sys.path.insert(0, str(HOME))

from mipnerf.config import parse_config
from mipnerf.errors import ConfigError
from mipnerf.report.figures.kinds import DATASET_FIGURES, PRINT_WIDTHS
from mipnerf.training.events import check_events
from rules.suite.command import read_command
from rules.suite.configuration import complete, typed, typed_part, write_complete
from rules.suite.request import TRAINED_FILES, Request, named_folders, one_of, parents
from rules.suite.sources import Sources
from rules.suite.targets import asked_runs, check_targets, forced_folders

IS_MAIN = workflow.is_main_process
# Rules say `python`; it is the one that runs Snakemake, also where its environment is not activated. The library is the
# one beside the Snakefile, also where another environment runs the rules. A job's threads are a share of what `--cores`
# said; on a cluster, that is 0 and a job has what it was granted.
os.environ.update(
    MIPNERF_HOME=str(HOME),
    MIPNERF_CORES=str(workflow.resource_settings.cores or 0) if IS_MAIN else "0",
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    PYTHONPATH=os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]),
)

MODIFIER = workflow.modifier
IS_WHOLE = MODIFIER.is_main_snakefile()  # and no module of another workflow
# Relative where Snakemake runs in the workflow's own folder, so that a project can be moved.
BESIDE = Path() if HOME == Path.cwd() else HOME
SCRIPTS = BESIDE / "workflow_scripts"


def place(path):
    """Where a file of the rules is: a module may be given a prefix."""
    return str(MODIFIER.modify_path(path))


try:
    # A module's files are beside it; else those in the working directory come first, as Snakemake has it.
    given = (typed if IS_WHOLE else typed_part)(config, workflow.config_settings.config)
    config = complete(given, Path("config") if IS_WHOLE else None)
    SUITE = parse_config(config)
    check_events(SUITE.operation)
    REQUEST = Request(SUITE, place, IS_MAIN)
    SOURCES = Sources(SUITE, BESIDE, place)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
validate(config, "../config/schemas/config.schema.json")

# Looking it up takes a tenth of a dry run of thousands of jobs.
IS_CONDA = (
    "--lint" in sys.argv or DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
)
ENVIRONMENT = "../config/envs/mipnerf.yaml" if IS_CONDA else None
DATA = SUITE.data_root
# These change no result, so a new value must not rerun a job: neither variables nor resources are tracked.
os.environ.update(MIPNERF_OPERATION=REQUEST.operation)
os.environ.setdefault("MIPNERF_CACHE", str(Path(DATA, "cache").absolute()))
LAUNCHER = SUITE.launcher
REFERENCE = [
    local(str(BESIDE / f"config/reference/{name}.csv"))
    for name in (
        "per_scene",
        "multiscale_blender_table1",
        "single_scale_blender_table2",
        "supersampling_table3",
    )
]


wildcard_constraints:
    dataset=one_of(SUITE.datasets),
    variant=REQUEST.variants(),
    scene="|".join(
        sorted({scene for dataset in SUITE.datasets.values() for scene in dataset.scenes})
    ),
    source="|".join(sorted({dataset.source for dataset in SUITE.datasets.values()})),
    level="|".join(REQUEST.levels),
    shard=r"\d+_of_\d+",
    table="|".join(REQUEST.tables),


def evaluated_scene_of(wildcards):
    """The scene of a run, whose age matters only where no training stands between it and the evaluation."""
    manifest = REQUEST.manifest_of(wildcards)
    return ancient(manifest) if REQUEST.is_trained_here(wildcards) else manifest


def keep_configuration():
    """Have all jobs read what this process has read, whatever becomes of the files while they wait."""
    path = write_complete(config, Path(".snakemake", "configurations").absolute())
    workflow.config_settings.configfiles = [path]


# A job on another machine needs no more than its own inputs, and finds the words that this process leaves.
COMMAND = read_command(sys.argv if IS_MAIN else [])
if IS_MAIN:
    ASKED = asked_runs(REQUEST, COMMAND)
    SOURCES.look(ASKED)
    SOURCES.check(ASKED)
    os.environ.update(
        MIPNERF_FRESH=forced_folders(REQUEST, COMMAND, ["train"], TRAINED_FILES),
        MIPNERF_FRESH_EVALUATION=forced_folders(
            REQUEST,
            COMMAND,
            ["evaluate", "evaluate_level", "evaluate_shard"],
            ["metrics.csv", *(f"level_{level}/metrics.csv" for level in REQUEST.levels)],
        ),
    )
