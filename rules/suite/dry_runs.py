"""How the dry run grows with the number of trainings, beside that of a bare Snakefile with the same jobs and files.

`python -m rules.suite.dry_runs`, in the folder of the workflow, prints it.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml
from tabulate import tabulate

DATASETS = 40
SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
# As many inputs and outputs as the rules have, and nothing else: no parameters, logs, messages or checks.
BARE = """
DATASETS = [f"bricks_{{i:02d}}" for i in range({datasets})]
VARIANTS = ["mipnerf", *(f"mipnerf_seed{{i}}" for i in range(1, {seeds}))]
RUNS = [f"results/{{dataset}}/{{variant}}/bricks" for dataset in DATASETS for variant in VARIANTS]
OF = {{dataset: [run for run in RUNS if run.split("/")[1] == dataset] for dataset in DATASETS}}
TRAINED = ["model.pt", "config.yaml", "history.csv"]
FORMATS = ["md", "csv", "tex", "html"]

def of_dataset(*names):
    return lambda wildcards: [f"{{run}}/{{name}}" for name in names for run in OF[wildcards.dataset]]

rule all:
    input: "results/table.md"
rule render:
    output: "data/sources/manifest.json"
    shell: "true"
rule convert:
    input: "data/sources/manifest.json"
    output: "data/{{dataset}}/metadata.json", "data/{{dataset}}/manifest.json"
    shell: "true"
rule train:
    input: "data/{{dataset}}/manifest.json"
    output: expand("results/{{{{dataset}}}}/{{{{variant}}}}/bricks/{{name}}", name=TRAINED)
    shell: "true"
rule evaluate:
    input: "results/{{dataset}}/{{variant}}/bricks/model.pt", "data/{{dataset}}/manifest.json"
    output: "results/{{dataset}}/{{variant}}/bricks/metrics.csv"
    shell: "true"
rule plot:
    input: of_dataset("metrics.csv", "history.csv")
    output: "results/plots/{{dataset}}_{{kind}}.svg", "results/plots/{{dataset}}_{{kind}}.png"
    wildcard_constraints: kind="levels|history"
    shell: "true"
rule strip:
    input: of_dataset("metrics.csv"), "data/{{dataset}}/manifest.json"
    output: "results/plots/{{dataset}}_bricks_strip.png"
    shell: "true"
rule table:
    input: of_dataset("metrics.csv", "config.yaml")
    output: expand("results/tables/{{{{dataset}}}}_{{{{kind}}}}.{{ending}}", ending=FORMATS)
    wildcard_constraints: kind="all|scenes"
    shell: "true"
rule aggregate:
    input:
        [f"{{run}}/{{name}}" for name in ("metrics.csv", "config.yaml") for run in RUNS],
        expand("results/tables/{{dataset}}_{{kind}}.md", dataset=DATASETS, kind=["all", "scenes"]),
        expand("results/plots/{{dataset}}_{{kind}}.png", dataset=DATASETS, kind=["levels", "history", "bricks_strip"]),
    output: expand("results/table.{{ending}}", ending=FORMATS), "results/verdict.md", "results/verdict.csv"
    shell: "true"
"""


class DryRun(NamedTuple):
    """What a dry run took: jobs, seconds of one core, and mebibytes at most."""

    jobs: int
    seconds: float
    memory: float


# The memory of a process that has ended is that of the largest so far, so each has a parent of its own.
MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, flush=True)
"""


def dry_run(*arguments: str | Path) -> DryRun:
    """Measure `snakemake -n` with `arguments`; raises CalledProcessError where it fails."""
    command = [sys.executable, "-c", MEASURED, "-m", "snakemake", "-n", *map(str, arguments)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    jobs = next(int(line.split()[1]) for line in lines if re.match(r"total +\d", line))
    seconds, memory = map(float, lines[-1].split())
    return DryRun(jobs, seconds, memory)


def measure(num_trainings: int, repeats: int) -> tuple[DryRun, DryRun]:
    """The dry runs of so many toy trainings, a multiple of 40: of the workflow, and of the bare Snakefile.

    Both are repeated in turn, and the fastest of each counts: whatever else the machine does only adds to its time.
    """
    seeds = num_trainings // DATASETS
    names = [f"bricks_{i:02d}" for i in range(DATASETS)]
    values = {
        "datasets": {name: {"source": "bricks", "scenes": ["bricks"]} for name in names},
        "runs": [{"dataset": name, "variants": ["mipnerf"], "seeds": list(range(seeds))} for name in names],
    }
    with TemporaryDirectory() as folder:
        configuration, bare = Path(folder, "many.yaml"), Path(folder, "bare", "Snakefile")
        configuration.write_text(yaml.safe_dump(values))
        bare.parent.mkdir()
        bare.write_text(BARE.format(datasets=DATASETS, seeds=seeds))
        commands = (
            ("--snakefile", SNAKEFILE, "--directory", folder, "--configfile", configuration),
            ("--snakefile", bare, "--directory", bare.parent),
        )
        attempts = [[dry_run(*command) for command in commands] for _ in range(repeats)]
    ours, theirs = (min(runs, key=lambda run: run.seconds) for runs in zip(*attempts, strict=True))
    return ours, theirs


def growth_table(counts: Sequence[int], repeats: int) -> str:
    """A table of `measure` for several numbers of trainings."""
    rows = []
    for count in counts:
        ours, bare = measure(count, repeats)
        ratio = ours.seconds / bare.seconds
        rows.append([count, ours.jobs, ours.seconds, ours.memory, bare.jobs, bare.seconds, bare.memory, ratio])
    headers = ["trainings", "jobs", "seconds", "MiB", "bare: jobs", "seconds", "MiB", "seconds, ratio"]
    return tabulate(rows, headers, intfmt=",", floatfmt=("", "", ".1f", ".0f", "", ".1f", ".0f", ".2f"))


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m rules.suite.dry_runs", description=__doc__)
    parser.add_argument(
        "--trainings", type=int, nargs="+", default=[1000], metavar="N", help=f"multiples of {DATASETS} (default 1000)"
    )
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of which the fastest counts (default 3)")
    args = parser.parse_args()
    if any(count < DATASETS or count % DATASETS for count in args.trainings):
        parser.error(f"--trainings must be multiples of {DATASETS}")
    print(growth_table(args.trainings, args.repeats))


if __name__ == "__main__":
    main()
