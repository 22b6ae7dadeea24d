"""Levels that several jobs evaluate together, and single levels."""

from .conftest import jobs

RUN = "results/bricks/mipnerf/bricks"
METRICS = f"{RUN}/metrics.csv"
SHARDED = ("--config", "eval_shards=3")  # more than there are views


def contents(folder):
    """The metrics without the times, and the renderings."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    pictures = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("renderings/*.png")}
    return [line for line in lines if ",seconds_per_megapixel," not in line], pictures


def test_shards_make_what_one_job_makes_and_stay_whatever_their_number_becomes(finished_project, copy_of_finished):
    # A run that is evaluated is not divided.
    assert "Nothing to be done" in copy_of_finished.toy("-n", *SHARDED, "--", METRICS).stdout
    copy_of_finished.run(f"rm -r {RUN}/metrics.csv {RUN}/level_*")
    output = copy_of_finished.toy(*SHARDED, "--", METRICS).stdout
    assert jobs(output) == {"evaluate_shard": 12, "evaluate": 1}
    assert contents(copy_of_finished.folder / RUN) == contents(finished_project.folder / RUN)
    for arguments in (SHARDED, ("--config", "eval_shards=2"), ()):
        assert "Nothing to be done" in copy_of_finished.toy("-n", *arguments, "--", METRICS).stdout
    # Made anew, it keeps its parts.
    output = copy_of_finished.toy("-n", "--forcerun", "train", "--", METRICS).stdout
    assert jobs(output) == {"train": 1, "evaluate_shard": 12, "evaluate": 1}


def test_a_single_level_is_a_target_and_follows_its_settings(finished_project, copy_of_finished):
    level = f"{RUN}/level_3/metrics.csv"
    copy_of_finished.run(f"rm -r {RUN}/metrics.csv {RUN}/level_*")
    assert jobs(copy_of_finished.toy("--", level).stdout) == {"evaluate_level": 1}
    assert not (copy_of_finished.folder / RUN / "level_2").exists()
    assert "Nothing to be done" in copy_of_finished.toy("-n", "--", level).stdout
    # The job for all levels takes over the views that are there; a change is noticed by whoever asks for a level.
    log = copy_of_finished.folder / RUN / "logs" / "evaluate.log"
    assert jobs(copy_of_finished.toy("--", METRICS).stdout) == {"evaluate": 1}
    assert "level 3: 2 of 2 views are there" in log.read_text()
    assert contents(copy_of_finished.folder / RUN) == contents(finished_project.folder / RUN)
    fewer = ("--config", "data={max_test_views: 1}")
    assert jobs(copy_of_finished.toy("-n", *fewer, "--", level).stdout) == {"evaluate_level": 1}


def test_a_level_that_a_run_does_not_have_stops_the_dry_run(finished_project):
    result = finished_project.toy(
        "-n", "--config", "datasets={bricks: {levels: 2}}", "--", f"{RUN}/level_3/metrics.csv", check=False
    )
    assert result.returncode != 0
    assert "bricks/mipnerf/bricks has no level 3; its levels are 0 to 1" in result.stdout


def test_a_forced_evaluation_renders_every_view_again(copy_of_finished):
    output = copy_of_finished.toy("--forcerun", "evaluate", "--", METRICS).stdout
    assert jobs(output) == {"evaluate": 1}
    log = (copy_of_finished.folder / RUN / "logs" / "evaluate.log").read_text()
    assert "level 0: rendering 2 views" in log
    assert "views are there" not in log
