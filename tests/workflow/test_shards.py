"""One level, evaluated by several jobs."""

from .conftest import jobs

LEVEL = "results/bricks/mipnerf/bricks/level_3"


def contents(folder):
    """The metrics without the times, and the renderings."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    pictures = {path.name: path.read_bytes() for path in (folder / "renderings").glob("*.png")}
    return [line for line in lines if ",seconds_per_megapixel," not in line], pictures


def test_shards_of_a_level_are_merged_to_what_one_job_makes(finished_project, copy_of_finished):
    # More shards than there are views.
    sharded = ["--config", "eval_shards=3"]
    output = copy_of_finished.toy(*sharded, "--", f"{LEVEL}/metrics.csv").stdout
    assert jobs(output) == {"evaluate_shard": 3, "merge_shards": 1}
    assert contents(copy_of_finished.folder / LEVEL) == contents(finished_project.folder / LEVEL)
    assert not list((copy_of_finished.folder / LEVEL).glob("shards/*/metrics.csv"))
    assert "Nothing to be done" in copy_of_finished.toy("-n", *sharded, "--", f"{LEVEL}/metrics.csv").stdout
    # Another number evaluates again, under the rules of every profile, too.
    triggers = ("--rerun-triggers", "mtime", "params", "input", "software-env")
    output = copy_of_finished.toy("-n", *triggers, "--", f"{LEVEL}/metrics.csv").stdout
    assert jobs(output) == {"evaluate": 1}
