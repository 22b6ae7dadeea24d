"""Parts of a level's views, evaluated apart, are the same level."""

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.config import OperationConfig
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation import evaluate_level, load_trained
from mipnerf.shards import WHOLE, Shard, merge_shards, parse_shard, shard_names
from mipnerf.training import train

OPERATION = OperationConfig(device="cpu")


@given(st.integers(0, 500), st.integers(1, 60))
def test_shards_follow_each_other_and_hold_everything_once(num_items, count):
    parts = [Shard(i, count).of(num_items) for i in range(count)]
    assert [position for part in parts for position in part] == list(range(num_items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [parse_shard(name) for name in shard_names(count)] == [Shard(i, count) for i in range(count)]


@pytest.mark.parametrize("text", ["", "3", "0_of_2", "3_of_2", "1_of_0", "1/2", "-1_of_2", "1_of_2 ", "a_of_b"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"is no part of a whole; give 1_of_3"):
        parse_shard(text)


def scores(folder):
    """All lines of `metrics.csv` but the times, as they are."""
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    return [line for line in lines if ",seconds_per_megapixel," not in line]


def pictures(folder):
    return {path.name: path.read_bytes() for path in (folder / "renderings").iterdir()}


def test_any_number_of_shards_gives_the_same_files(tmp_path, run_with, small_scene):
    train(run_with(train={"precision": "float32"}), OPERATION, small_scene, tmp_path / "run", threads=1)
    trained = load_trained(tmp_path / "run" / "model.pt", torch.device("cpu"))

    def evaluate(folder, shard, supersample):
        # LPIPS stands for any measure that is there.
        lpips = lambda rgb, truth: float((rgb - truth).abs().mean())  # noqa: E731
        evaluate_level(trained, small_scene, 1, OPERATION, folder, 1, supersample, lpips, shard)
        return folder

    for supersample in (False, True):
        whole = evaluate(tmp_path / "whole", WHOLE, supersample)
        assert [row["view"] for row in csv.DictReader(scores(whole))] == ["0", "0", "1", "1", "2", "2"]
        for count in (2, 3, 5):
            folders = [evaluate(tmp_path / f"{i}_{count}", Shard(i, count), supersample) for i in range(count)]
            assert merge_shards(folders, tmp_path / "merged") == 9  # colours, depth and opacity of three views
            assert scores(tmp_path / "merged") == scores(whole)
            assert pictures(tmp_path / "merged") == pictures(whole)
            assert len((tmp_path / "merged" / "metrics.csv").read_text().splitlines()) == 1 + 3 * 3


def make_shard(folder, text="a,b\n1,2\n", name="000.png"):
    (folder / "renderings").mkdir(parents=True)
    (folder / "renderings" / name).touch()
    (folder / "renderings" / ".timestamp").touch()  # such as workflow managers leave
    (folder / "metrics.csv").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"text": "a,c\n1,2\n"}, "different columns"),
        ({"text": "a,b\n1,"}, r"metrics\.csv: is cut off"),
        ({"name": "000.png"}, r"000\.png is in two shards"),
    ],
)
def test_shards_that_do_not_fit_together_are_refused_and_what_was_there_stays(tmp_path, second, message):
    output = make_shard(tmp_path / "level", "old\n", "old.png")
    shards = [make_shard(tmp_path / "1"), make_shard(tmp_path / "2", **({"name": "001.png"} | second))]
    with pytest.raises(DataError, match=message):
        merge_shards(shards, output)
    assert (output / "metrics.csv").read_text() == "old\n"
    assert (output / "renderings" / "old.png").exists()


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"2/metrics\.csv: cannot be read"):
        merge_shards([make_shard(tmp_path / "1"), tmp_path / "2"], tmp_path / "level")
