"""A sweep at equal time through Snakemake, and one more value of it."""

import csv

import pytest
import yaml

from mipnerf.training.budget import Budget

from .conftest import SINGLE, jobs

RUNS = """
runs:
  - dataset: bricks
    variants: [mipnerf]
    sweeps: {train: {lr_init: [VALUES]}}
    model: {net_depth: 2, net_width: 16, num_samples: 8}
    train: {minutes: 0.01, batch_size: 32, lr_final: 1.0e-4, lr_delay_steps: 0}
bricks: {size: 32, num_train: 4, num_val: 1, num_test: 2}
operation: {validate_views: 1}
"""


@pytest.mark.slow
def test_one_more_value_adds_its_training_and_nothing_else_is_trained(project):
    def asked(values: str, *arguments: str) -> str:
        (project.folder / "sweep.yaml").write_text(RUNS.replace("VALUES", values))
        return project.snakemake("--cores", "2", *SINGLE, "--configfile", "sweep.yaml", *arguments).stdout

    assert jobs(asked("1.0e-3"))["train"] == 1
    results = project.folder / "results"
    first = results / "bricks" / "mipnerf-lr_init=0.001" / "bricks"
    recorded = yaml.safe_load((first / "config.yaml").read_text())
    assert recorded["train"]["minutes"] == 0.01
    assert recorded["train"]["max_steps"] == Budget(**recorded["record"]["budget"]).steps
    assert "Nothing to be done" in asked("1.0e-3", "-n")

    figures = [f"results/plots/bricks_{kind}.svg" for kind in ("sweep", "minutes")]
    model = (first / "model.pt").read_bytes()
    made = jobs(asked("1.0e-3, 5.0e-3", "--", "all", *figures))
    assert (made["train"], made["evaluate"]) == (1, 1)
    assert (first / "model.pt").read_bytes() == model
    with open(results / "tables" / "bricks_sweep.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2
    assert all((project.folder / figure).exists() for figure in figures)
    assert "0.01 min" in project.run("python -m mipnerf status --configfile sweep.yaml").stdout
