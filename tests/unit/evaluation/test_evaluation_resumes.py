"""Views that are there are not rendered again, unless something has changed that decides what they look like."""

import csv
import os
import signal
import threading
from dataclasses import replace

import filelock
import numpy as np
import pytest
import torch

from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted
from mipnerf.evaluation import views as evaluation
from mipnerf.evaluation.records import LevelRecords
from mipnerf.evaluation.shards import WHOLE, Shard
from mipnerf.evaluation.views import Evaluator, Trained
from mipnerf.network.model import MipNerf

OPERATION = OperationConfig(device="cpu")
SUFFIXES = ("", "_depth", "_acc")


class MeanDifference:
    """A measure such as LPIPS, which it stands for."""

    def __init__(self, fingerprint="1"):
        self.fingerprint = fingerprint

    def __call__(self, rgb, truth):
        return float((rgb - truth).abs().mean())


@pytest.fixture
def trained(run_with):
    return network(run_with)


def network(run_with, seed=0, **sections):
    """A network with random weights, whose pictures are as good as any."""
    run = run_with(**({"train": {"precision": "float32"}} | sections))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Trained(MipNerf(run.model), run)


@pytest.fixture
def rendered(monkeypatch):
    """How many views are rendered; the list may be cleared."""
    calls = []
    original = evaluation.render_image

    def render_image(*arguments, **options):
        calls.append(arguments[2])
        return original(*arguments, **options)

    monkeypatch.setattr(evaluation, "render_image", render_image)
    return calls


def evaluate(trained, scene, folder, levels=(0, 1), shard=WHOLE, fresh="", **options):
    operation = options.pop("operation", OPERATION)
    Evaluator.create(trained, operation, **({"threads": 1} | options)).evaluate(scene, levels, folder, shard, fresh)


def contents(folder):
    """All pictures, and all lines of metrics but the times."""
    pictures = {path.relative_to(folder): path.read_bytes() for path in folder.glob("level_*/renderings/*")}
    lines = [path.read_text().splitlines() for path in sorted(folder.glob("level_*/metrics.csv"))]
    return pictures, [line for file in lines for line in file if ",seconds_per_megapixel," not in line]


def pictures_of(*views):
    return {f"{view:03d}{suffix}.png" for view in views for suffix in SUFFIXES}


def views_of(scene, *views):
    """Both levels of these views."""
    return scene.select(np.isin(scene.views, views))


def test_a_second_evaluation_renders_nothing_and_changes_no_byte(tmp_path, trained, small_scene, rendered, caplog):
    caplog.set_level("INFO")
    evaluate(trained, small_scene, tmp_path)
    assert len(rendered) == 6
    assert "toy/mipnerf/box level 0: rendering 3 views" in caplog.messages
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    caplog.clear()
    evaluate(trained, small_scene, tmp_path, fresh="")
    assert len(rendered) == 6
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert "toy/mipnerf/box level 1: 3 of 3 views are there" in caplog.messages
    assert not any("rendering" in message for message in caplog.messages)


def test_more_views_render_the_new_ones_and_fewer_none(tmp_path, trained, small_scene, rendered):
    evaluate(trained, views_of(small_scene, 0), tmp_path)
    evaluate(trained, small_scene, tmp_path)
    assert len(rendered) == 2 + 4
    assert {path.name for path in (tmp_path / "level_1" / "renderings").iterdir()} == pictures_of(0, 1, 2)
    evaluate(trained, views_of(small_scene, 0, 2), tmp_path)
    assert len(rendered) == 6
    # What was not asked for is gone.
    assert {path.name for path in (tmp_path / "level_1" / "renderings").iterdir()} == pictures_of(0, 2)
    with open(tmp_path / "level_1" / "metrics.csv", newline="") as stream:
        assert [row["view"] for row in csv.DictReader(stream) if row["metric"] == "psnr"] == ["0", "2"]
    evaluate(trained, small_scene, tmp_path)
    assert len(rendered) == 6 + 2


def test_a_changed_image_camera_or_bound_renders_only_its_view(tmp_path, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path)
    rendered.clear()

    def changed(name, change):
        values = [value.copy() for value in getattr(small_scene, name)]
        change(values[2])
        return replace(small_scene, **{name: values if name == "images" else np.stack(values)})

    def turn(pixels):
        pixels[0, 0, 0] ^= 1

    def shift(values):
        values[0, 2] += 1e-6

    nears = small_scene.nears.copy()
    nears[2] += 1e-6
    for scene in (
        changed("images", turn),
        changed("camtoworlds", shift),
        changed("pix2cams", shift),
        replace(small_scene, nears=nears),
        replace(small_scene, fars=small_scene.fars + (nears - small_scene.nears)),
    ):
        evaluate(trained, scene, tmp_path)
        assert rendered == [1]  # of level 0
        evaluate(trained, small_scene, tmp_path)
        assert rendered == [1, 1]
        rendered.clear()
    # Another machine may compute other last bits.
    evaluate(trained, replace(small_scene, camtoworlds=small_scene.camtoworlds * (1 + 2e-16)), tmp_path)
    assert rendered == []


def test_another_network_rendering_or_measure_renders_all(tmp_path, run_with, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path)
    for other, options in (
        (network(run_with, seed=1), {}),
        (network(run_with, model={"rgb_padding": 0.01}), {}),
        (network(run_with, data={"white_bkgd": False}), {}),
        (network(run_with, data={"use_pixel_centers": False}), {}),
        (network(run_with, train={"precision": "bfloat16"}), {}),
        (trained, {"lpips": MeanDifference()}),
        (trained, {"lpips": MeanDifference("2")}),
    ):
        rendered.clear()
        evaluate(other, small_scene, tmp_path, **options)
        assert len(rendered) == 6
    rendered.clear()
    evaluate(trained, small_scene, tmp_path)
    assert len(rendered) == 6
    # At full resolution, there is nothing to be averaged.
    evaluate(trained, small_scene, tmp_path, supersample=True)
    assert len(rendered) == 6 + 3


def test_how_and_under_which_name_it_is_computed_renders_nothing(tmp_path, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    run = trained.run.model_copy(update={"variant": "other"})
    operation = OperationConfig(device="cpu", render_rays=7)
    evaluate(Trained(trained.model, run), small_scene, tmp_path / "b", operation=operation, threads=2)
    assert len(rendered) == 6
    assert {line.split(",")[1] for line in contents(tmp_path / "b")[1]} == {"variant", "other"}


def test_a_picture_that_is_lost_or_another_one_is_rendered_again(tmp_path, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path)
    expected = contents(tmp_path)
    renderings = tmp_path / "level_0" / "renderings"
    (renderings / "000_depth.png").unlink()
    (renderings / "001_acc.png").write_bytes((renderings / "002_acc.png").read_bytes()[:-1])
    (renderings / "003.png").touch()
    (renderings / ".002.0123abcd.part.png").touch()  # a kill left it
    rendered.clear()
    evaluate(trained, small_scene, tmp_path)
    assert rendered == [0, 1]
    assert contents(tmp_path) == expected


def test_what_was_rendered_over_by_another_network_is_not_taken_for_the_first(
    tmp_path, run_with, trained, small_scene, rendered
):
    evaluate(trained, small_scene, tmp_path)
    expected = contents(tmp_path)
    records = (tmp_path / "level_0" / "views.jsonl").read_text()
    evaluate(network(run_with, seed=1), small_scene, tmp_path)
    assert contents(tmp_path) != expected
    # As if it had been killed before it could write a record.
    (tmp_path / "level_0" / "views.jsonl").write_text(records)
    rendered.clear()
    evaluate(trained, small_scene, tmp_path, levels=[0])
    assert rendered == [0, 1, 2]
    evaluate(trained, small_scene, tmp_path)
    assert contents(tmp_path) == expected


def test_a_record_that_was_cut_short_costs_its_view_alone(tmp_path, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path)
    path = tmp_path / "level_0" / "views.jsonl"
    whole = path.read_text()
    rendered.clear()
    for end in (-2, -20, whole.rindex("{") + 1, whole.rindex("{")):
        path.write_text(whole[:end])
        # A record that is added after it is read again.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LevelRecords, "keep_only", lambda *_: None)
            evaluate(trained, small_scene, tmp_path)
        evaluate(trained, small_scene, tmp_path)
        assert rendered == [2]
        rendered.clear()
    path.write_text("null\n[]\n7\n" + whole + "\x00\x00\n")
    evaluate(trained, small_scene, tmp_path)
    assert rendered == []


def test_any_number_of_shards_and_the_call_after_them_give_the_same_files(tmp_path, trained, small_scene, rendered):
    for supersample in (False, True):
        options = {"supersample": supersample, "lpips": MeanDifference()}
        whole = tmp_path / f"whole_{supersample}"
        evaluate(trained, small_scene, whole, **options)
        for count in (2, 3, 5):
            folder = tmp_path / f"{count}_{supersample}"
            rendered.clear()
            for i in reversed(range(count)):
                evaluate(trained, small_scene, folder, shard=Shard(i, count), **options)
            assert len(rendered) == 6
            assert not list(folder.glob("level_*/metrics.csv"))
            parts = [folder / "level_1" / "shards" / f"{i + 1}_of_{count}.csv" for i in range(count)]
            rows = [path.read_text().splitlines() for path in parts]
            assert {lines[0] for lines in rows} == {"dataset,variant,scene,level,view,metric,value"}
            # Another number of shards, too, finds what all have rendered.
            evaluate(trained, small_scene, folder, shard=Shard(0, 1 + count % 3), **options)
            evaluate(trained, small_scene, folder, **options)
            assert len(rendered) == 6
            assert contents(folder) == contents(whole)
            merged = (folder / "level_1" / "metrics.csv").read_text().splitlines()
            assert merged == [rows[0][0], *(row for lines in rows for row in lines[1:])]
            assert not list(folder.glob("level_*/shards/*.jsonl"))


def test_shards_do_not_wait_for_one_another(tmp_path, trained, small_scene):
    (tmp_path / "level_0" / "shards").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "level_0" / "shards" / ".1_of_2.lock"):
        evaluate(trained, small_scene, tmp_path, levels=[0], shard=Shard(1, 2))
    assert (tmp_path / "level_0" / "shards" / "2_of_2.csv").exists()


@pytest.mark.parametrize(
    ("held", "shard"),
    [(".lock", WHOLE), (".lock", Shard(0, 2)), ("shards/.1_of_2.lock", WHOLE), ("shards/.1_of_2.lock", Shard(0, 2))],
)
def test_a_job_waits_for_another_at_the_same_views(tmp_path, trained, small_scene, caplog, held, shard):
    caplog.set_level("INFO")
    lock = filelock.FileLock(tmp_path / "level_0" / held, thread_local=False)
    (tmp_path / "level_0" / "shards").mkdir(parents=True)
    lock.acquire()
    timer = threading.Timer(0.5, lock.release)
    timer.start()
    evaluate(trained, small_scene, tmp_path, levels=[0], shard=shard)
    assert not lock.is_locked
    assert sum("another job is at" in message for message in caplog.messages) == 1


@pytest.mark.slow
def test_a_job_that_waits_can_be_stopped(tmp_path, trained, small_scene):
    (tmp_path / "level_0").mkdir()
    with filelock.FileLock(tmp_path / "level_0" / ".lock"):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Interrupted, match=f"stopped by signal {int(signal.SIGUSR1)} before .*lock was free"):
            evaluate(trained, small_scene, tmp_path)


def test_a_word_renders_all_once_and_then_no_more(tmp_path, trained, small_scene, rendered):
    evaluate(trained, small_scene, tmp_path)
    expected = contents(tmp_path)
    rendered.clear()
    # A shard of a workflow, its last job, and whatever follows that.
    evaluate(trained, small_scene, tmp_path, levels=[0], shard=Shard(1, 2), fresh="word")
    assert rendered == [0, 1]
    for fresh in ("word", "word", ""):
        evaluate(trained, small_scene, tmp_path, fresh=fresh)
        assert rendered == [0, 1, 0, 0, 1, 2]
    evaluate(trained, small_scene, tmp_path, fresh="another")
    assert len(rendered) == 6 + 6
    assert contents(tmp_path) == expected


def test_a_signal_ends_between_views_and_nothing_is_lost(tmp_path, trained, small_scene, monkeypatch):
    evaluate(trained, small_scene, tmp_path / "undisturbed")
    original = evaluation.render_image
    views = []

    def render_image(*arguments):
        views.append(arguments[2])
        if len(views) in (1, 3):
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(evaluation, "render_image", render_image)
    level = tmp_path / "run" / "level_0"
    with pytest.raises(Interrupted, match=r"box level 0 was stopped by signal 15; 1 of its 3 views are there"):
        evaluate(trained, small_scene, tmp_path / "run")
    assert {path.name for path in (level / "renderings").iterdir()} == pictures_of(0)
    assert not (level / "metrics.csv").exists()
    # This one comes while the last view of a level is rendered.
    with pytest.raises(Interrupted, match=r"box level 1 was stopped by signal 15; 0 of its 3 views are there"):
        evaluate(trained, small_scene, tmp_path / "run")
    assert (level / "metrics.csv").exists()
    evaluate(trained, small_scene, tmp_path / "run")
    assert views == [0, 1, 2, 0, 1, 2]
    assert contents(tmp_path / "run") == contents(tmp_path / "undisturbed")


def test_what_cannot_be_written_is_said_and_the_rest_stays(tmp_path, trained, small_scene, rendered):
    blocked = tmp_path / "level_0" / "renderings" / "001.png"
    (blocked / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"001\.png"):
        evaluate(trained, small_scene, tmp_path)
    (blocked / "in the way").rmdir()
    blocked.rmdir()
    rendered.clear()
    evaluate(trained, small_scene, tmp_path, levels=[0])
    assert rendered in ([1], [1, 2])  # the error may come before or after the next view is rendered
