"""The rule that measures how cost grows."""

import csv

from .conftest import jobs

TARGET = "results/plots/scaling.svg"
TINY = "model={net_depth: 1, net_width: 8, net_width_condition: 8, num_samples: 4, single_mlp: false}"


def test_a_toy_run_of_it_is_one_job_and_writes_numbers_and_figure(project):
    quick = ["--set-resources", "scaling:point_seconds=0", "scaling:point_limit=0"]
    output = project.toy(*quick, "--config", TINY, "train={batch_size: 16}", "--", TARGET).stdout
    assert jobs(output) == {"scaling": 1}
    results = project.folder / "results"
    for name in ("plots/scaling.svg", "plots/scaling.png", "logs/scaling.log"):
        assert (results / name).stat().st_size > 1000 or name.endswith(".log")
    with open(results / "scaling.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["varied"] for row in rows} == {"batch_size", "num_samples", "net_width", "image_size"}
    measured = [row for row in rows if row["seconds"]]
    assert len(measured) >= 14
    assert all(float(row["rays_per_s"]) > 0 for row in measured)
    assert all(row["note"] for row in rows if not row["seconds"])
    # Other seconds measure nothing again: they are how a job is run.
    assert "Nothing to be done" in project.toy("-n", "--config", TINY, "train={batch_size: 16}", "--", TARGET).stdout
