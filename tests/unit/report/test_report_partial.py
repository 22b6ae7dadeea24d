"""`python -m mipnerf tables`: what is there, while others still train."""

import sys

import yaml
from test_report_page import data_in

from mipnerf.cli import main
from mipnerf.training.history import HistoryRow, write_rows

RUNS = {"runs": [{"dataset": "bricks", "variants": ["mipnerf", "mipnerf_wo_ipe"], "train": {"max_steps": 1000}}]}


def tables(folder, monkeypatch, capsys, *arguments: str) -> str:
    """What the command prints in a folder with results."""
    (folder / "runs.yaml").write_text(yaml.safe_dump(RUNS))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mipnerf", "tables", "--configfile", "runs.yaml", *arguments])
    main()
    return capsys.readouterr().out


def test_the_report_has_what_is_there_and_how_far_the_others_are(make_run, tmp_path, monkeypatch, capsys):
    make_run(scene="bricks")
    log = tmp_path / "results/bricks/mipnerf_wo_ipe/bricks/checkpoints/0123"
    write_rows(log / "history.csv", [HistoryRow(step, 0.1, 20.0, 1e-3, 500.0, step / 10) for step in (100, 250)])
    (log / "run.yaml").write_text(yaml.safe_dump({"train": {"max_steps": 1000}}))
    said = tables(tmp_path, monkeypatch, capsys)
    assert said.startswith("1 of 2 runs have metrics; wrote results/partial/table.md, results/partial/report.html")
    text = (tmp_path / "results/partial/report.html").read_text(encoding="utf-8")
    assert "1 of 2 runs are evaluated. Of the others (1 stopped), 250 of 1,000 steps are done." in text
    assert "250/1,000" in text
    data = data_in(text)
    assert [run["variant"] for run in data["runs"]] == ["mipnerf", "mipnerf_wo_ipe"]
    assert data["renewal"] == 30
    assert data["sets"] == []  # the data of the scene is not here
    assert data_in(text, "run-1")["training"]["step"] == [100, 250]


def test_watching_ends_when_all_runs_have_metrics(make_run, tmp_path, monkeypatch, capsys):
    for variant in ("mipnerf", "mipnerf_wo_ipe"):
        make_run(scene="bricks", variant=variant)
    said = tables(tmp_path, monkeypatch, capsys, "--watch", "0.1")
    assert said.count("2 of 2 runs have metrics") == 1
    text = (tmp_path / "results/partial/report.html").read_text(encoding="utf-8")
    assert data_in(text)["renewal"] is None
    assert "Still to come" not in text


def test_watching_goes_on_until_then(make_run, tmp_path, monkeypatch, capsys):
    make_run(scene="bricks")
    monkeypatch.setattr("time.sleep", lambda _: make_run(scene="bricks", variant="mipnerf_wo_ipe"))
    said = tables(tmp_path, monkeypatch, capsys, "--watch", "0.1")
    assert [line[0] for line in said.splitlines() if "runs have metrics" in line] == ["1", "2"]


def test_nothing_is_there_yet(tmp_path, monkeypatch, capsys):
    assert tables(tmp_path, monkeypatch, capsys).startswith("0 of 2 runs have metrics")
    text = (tmp_path / "results/partial/report.html").read_text(encoding="utf-8")
    assert "No run is evaluated yet." in text
    assert "Of the others (2 not begun), 0 of 2,000 steps are done." in text
