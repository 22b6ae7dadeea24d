"""An evaluation that is killed or stopped goes on between views and ends with the files of one that was not."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATIENCE, signalled
from ready import python_of_jobs

from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
VIEWS, LEVELS = 12, 2
SETTINGS = (
    "model.net_depth=2 model.net_width=16 model.num_samples=32 model.max_deg_point=6 train.batch_size=64 "
    "train.max_steps=3 train.precision=float32 operation.device=cpu"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a trained run, in which nothing is evaluated; its scene is in `data`."""
    folder = tmp_path_factory.mktemp("evaluation")
    render_bricks(folder / "source", size=64, num_train=2, num_val=1, num_test=VIEWS, samples=1, workers=1)
    convert_to_multiscale(folder / "source", folder / "data", num_levels=LEVELS)
    output = folder / "bricks" / "mipnerf" / "scene"
    arguments = ["--data", folder / "data", "--output", output, "--levels", LEVELS, "--threads", 1, "--set"]
    subprocess.run([python_of_jobs(), SCRIPTS / "train.py", *map(str, arguments), *SETTINGS.split()], check=True)
    return output


@pytest.fixture
def output(run, tmp_path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(run, tmp_path / "bricks" / "mipnerf" / "scene"))


def command(run: Path, output: Path, *arguments: object) -> list[str]:
    words = ["--model", output / "model.pt", "--data", run.parents[2] / "data", "--output", output, "--threads", 1]
    return [sys.executable, str(SCRIPTS / "evaluate.py"), *map(str, [*words, *arguments])]


def evaluate(run: Path, output: Path, *arguments: object, **variables: str) -> str:
    """Evaluate all levels to the end; what was logged."""
    words = command(run, output, "--levels", *range(LEVELS), "--collect", output / "metrics.csv", *arguments)
    words[0] = python_of_jobs()
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | variables)
    assert result.returncode == 0, result.stderr
    return result.stderr


def num_recorded(output: Path) -> int:
    """Views that have a record, the last of which may be cut short."""
    return sum(path.read_text().count('"view"') for path in output.glob("level_*/views.jsonl"))


def rendered(log: str) -> int:
    """How many views were rendered."""
    return sum(map(int, re.findall(r": rendering (\d+) views", log)))


def contents(output: Path) -> tuple[dict, list[list[str]]]:
    """All pictures, and all metrics but the times."""
    pictures = {path.relative_to(output): path.read_bytes() for path in output.glob("level_*/renderings/*")}
    files = [*sorted(output.glob("level_*/metrics.csv")), output / "metrics.csv"]
    return pictures, [[line for line in file.read_text().splitlines() if ",seconds_" not in line] for file in files]


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory) -> tuple[dict, list[list[str]]]:
    folder = shutil.copytree(run, tmp_path_factory.mktemp("undisturbed") / "bricks" / "mipnerf" / "scene")
    assert rendered(evaluate(run, folder)) == LEVELS * VIEWS
    assert rendered(evaluate(run, folder)) == 0
    return contents(folder)


def stop(run: Path, output: Path, least: int, number: int) -> subprocess.Popen:
    """Begin an evaluation and send a signal once `least` views are recorded."""
    words = command(run, output, "--levels", *range(LEVELS), "--collect", output / "metrics.csv")
    return signalled(words, number, lambda: num_recorded(output) >= least)


def test_killed_twice_only_what_is_missing_is_rendered(run, output, undisturbed):
    for least in (3, VIEWS + 3):
        assert stop(run, output, least, signal.SIGKILL).returncode == -signal.SIGKILL
        assert not (output / "metrics.csv").exists()
    there = num_recorded(output)
    log = evaluate(run, output)
    # The last record may have been cut short, or its pictures written without one.
    assert LEVELS * VIEWS - there <= rendered(log) <= LEVELS * VIEWS - there + 1
    assert f"level 0: {VIEWS} of {VIEWS} views are there" in log
    assert contents(output) == undisturbed


def test_each_signal_stops_between_views_and_says_what_is_there(run, output, undisturbed):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        process = stop(run, output, num_recorded(output) + 1, number)
        log = process.stderr.read()
        assert process.returncode == 128 + number
        level, there = re.search(
            rf"scene level (\d) was stopped by signal {int(number)}; (\d+) of its {VIEWS} views are there", log
        ).groups()
        assert num_recorded(output) == int(level) * VIEWS + int(there)
        assert len(list(output.glob("level_*/renderings/*.png"))) == 3 * num_recorded(output)
        assert not list(output.rglob("*.part*"))
        assert "Traceback" not in log
    missing = LEVELS * VIEWS - num_recorded(output)
    assert rendered(evaluate(run, output)) == missing
    assert contents(output) == undisturbed


def test_shards_at_the_same_time_and_the_call_after_them_are_one_evaluation(run, output, undisturbed):
    jobs = [
        subprocess.Popen(
            command(run, output, "--levels", level, "--shard", f"{i}_of_2"), stderr=subprocess.PIPE, text=True
        )
        for level in range(LEVELS)
        for i in (1, 2)
    ]
    logs = [job.communicate(timeout=PATIENCE)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * len(jobs), logs
    assert [rendered(log) for log in logs] == [VIEWS // 2] * len(jobs)
    assert rendered(evaluate(run, output)) == 0
    assert contents(output) == undisturbed


def test_levels_are_older_than_the_network_unless_asked_for_alone(run, output, undisturbed):
    evaluate(run, output)
    files = [output / f"level_{level}" / "metrics.csv" for level in range(LEVELS)]
    network = (output / "model.pt").stat().st_mtime
    assert all(network - 2 < file.stat().st_mtime < network for file in files)
    result = subprocess.run(command(run, output, "--levels", 1), capture_output=True, text=True, check=True)
    assert rendered(result.stderr) == 0
    assert files[0].stat().st_mtime < network < files[1].stat().st_mtime
    assert contents(output) == undisturbed


def test_a_word_of_the_workflow_renders_the_runs_that_it_names_once(run, output):
    evaluate(run, output, "--max-views", 2)
    word = {"MIPNERF_FRESH_EVALUATION": "7 bricks/mipnerf/scene"}
    assert rendered(evaluate(run, output, "--max-views", 2, MIPNERF_FRESH_EVALUATION="7 bricks/other/scene")) == 0
    assert rendered(evaluate(run, output, "--max-views", 2, **word)) == 2 * LEVELS
    assert rendered(evaluate(run, output, "--max-views", 4, **word)) == 2 * LEVELS
    assert rendered(evaluate(run, output, "--max-views", 4)) == 0
    for _ in range(2):
        assert rendered(evaluate(run, output, "--max-views", 4, "--fresh")) == 4 * LEVELS


def test_what_does_not_go_together_is_refused(run, output):
    for arguments, message in {
        ("--levels", 0, "--shard", "1_of_2", "--collect", output / "x.csv"): "--collect needs all views",
        ("--levels", 0, "--shard", "3_of_2"): "'3_of_2' is no part of a whole",
        ("--levels", 0, 2): "no view of level 2; its levels are 0 to 1",
        ("--levels", 2): "level 2 does not exist",
    }.items():
        result = subprocess.run(command(run, output, *arguments), capture_output=True, text=True, check=False)
        assert result.returncode in (1, 2)
        assert message in result.stderr
        assert "Traceback" not in result.stderr
    assert not list(output.glob("level_*"))
