"""The command lines of the report, as the workflow calls them."""

import subprocess
from pathlib import Path

import pytest
from ready import python_of_jobs
from report_files import table_files

from mipnerf.errors import DataError
from mipnerf.report.frame import read_metrics
from mipnerf.report.rows import collect_metrics

ROOT = Path(__file__).parents[3]


def call(script, *arguments, code=0):
    command = [python_of_jobs(), f"workflow_scripts/{script}.py", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    return result.stderr


def test_the_metrics_of_levels_are_joined_and_a_repeated_one_is_refused(make_run, tmp_path):
    run = make_run()
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    parts = [tmp_path / f"level_{level}.csv" for level in range(4)]
    for level, part in enumerate(parts):
        part.write_text(lines[0] + "".join(line for line in lines[1:] if f",wall,{level}," in line))
    model = run / "config.yaml"
    collect_metrics(parts, tmp_path / "metrics.csv", older_than=model)
    # As pandas writes them.
    assert (tmp_path / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    assert read_metrics([tmp_path / "metrics.csv"]).equals(read_metrics([run / "metrics.csv"]))
    assert all(part.stat().st_mtime < model.stat().st_mtime for part in parts)
    with pytest.raises(DataError):
        collect_metrics([parts[0], parts[0]], tmp_path / "again.csv", older_than=model)
    assert not (tmp_path / "again.csv").exists()


@pytest.mark.slow
def test_aggregate_plot_and_strip_write_their_files(make_run, make_images, reference_folder, tmp_path):
    run = make_run()
    data, out = make_images([run]), tmp_path / "out"
    common = ["--runs", run, "--reference", reference_folder]
    call("plot", "--kind", "history", *common, "--svg", out / "plots/h.svg", "--png", out / "plots/bricks_h.png")
    call(
        "pictures",
        "--kind",
        "strip",
        "--data",
        data,
        "--runs",
        run,
        "--view",
        1,
        "--output",
        out / "plots/bricks_strip.png",
    )
    figures = [out / "plots/bricks_h.png", out / "plots/bricks_strip.png"]
    message = call("aggregate", *common, "--figures", *figures, "--output", out)
    for table in ("bricks", "bricks_scenes"):
        call("table", *common, "--table", table, "--output", out / "tables")
    assert "these runs have bricks, bricks_scenes" in call("table", *common, "--table", "x", "--output", out, code=2)
    assert "No published numbers are there to compare these runs with." in message
    assert all((out / name).stat().st_size > 0 for name in table_files(["bricks"]))
    assert all(path.stat().st_size > 1000 for path in [*figures, out / "plots/h.svg"])
    text = (out / "table.md").read_text()
    assert "![bricks_h](plots/bricks_h.png)" in text
    assert "![bricks_strip](plots/bricks_strip.png)" in text
    assert (out / "table.csv").read_text().startswith("dataset,scene,variant,metric,level,value,jax,delta\n")


@pytest.mark.slow
def test_aggregate_tells_why_lpips_is_missing(make_run, reference_folder, tmp_path):
    record = tmp_path / "weights.json"
    record.write_text('{"available": false, "reason": "no network"}')
    output = ["--output", tmp_path]
    call("aggregate", "--runs", make_run(), "--reference", reference_folder, "--lpips", record, *output)
    assert "LPIPS could not be measured: no network." in (tmp_path / "table.md").read_text()
    assert "bricks,wall,mipnerf,lpips,mean,,,\n" in (tmp_path / "table.csv").read_text()
