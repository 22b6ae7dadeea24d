"""Views that are looked at while a training goes on: they change nothing of it."""

import functools
import itertools
import signal
import time
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from capture_files import make_toy, transforms_of, write_images, write_json
from scene_files import write_llff_scene, write_scene
from stopped import same, weights

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.load import load_scene
from mipnerf.devices import resolve_precision
from mipnerf.errors import Interrupted
from mipnerf.evaluation.views import load_trained, score_view, to_uint8
from mipnerf.pixels import true_rgb
from mipnerf.training import loop as training
from mipnerf.training import stepping, validating
from mipnerf.training.history import read_rows, read_validation
from mipnerf.training.loop import train
from mipnerf.training.validating import validation_views
from mipnerf.workers import Workers

OFTEN = OperationConfig(print_every=3, save_every=5, device="cpu", validate_every=4, validate_views=2)


@pytest.fixture
def views(small_scene):
    """The coarse level of the small scene."""
    return small_scene.at_level(1)


def timeless(path):
    return [replace(row, seconds=0.0) for row in read_validation(path)]


def test_views_are_scored_every_so_many_steps_and_at_the_end(tmp_path, small_run, small_scene, views):
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    rows = read_validation(tmp_path / "validation.csv")
    assert [(row.step, row.level, row.view) for row in rows] == [(s, 1, v) for s in (4, 8, 12) for v in (0, 1, 2)]
    assert all(row.ssim is None for row in rows)  # smaller than the window of SSIM
    pictures = sorted(path.name for path in (tmp_path / "validation").glob("*.png"))
    assert pictures == [f"{step:08d}_{view:03d}.png" for step in (4, 8, 12) for view in (0, 1, 2)]
    # The last scores are those of the trained network.
    model, _ = load_trained(tmp_path / "model.pt", torch.device("cpu"))
    validator = validating.Validator(
        small_run,
        OFTEN,
        views,
        tmp_path / "again.csv",
        tmp_path / "again",
        torch.device("cpu"),
        resolve_precision("auto", torch.device("cpu")),
        Workers(1, torch.device("cpu")),
    )
    validator.begin(0)
    again = validator.validate(model, 12, 0.0)
    assert [row.psnr for row in again] == pytest.approx([row.psnr for row in rows[-3:]])
    picture = iio.imread(tmp_path / "validation" / "00000012_002.png")
    assert picture.shape == (4, 8, 3)
    assert np.array_equal(picture[:, :4], to_uint8(true_rgb(views, 2, small_run.data.white_bkgd, torch.device("cpu"))))


@pytest.mark.parametrize("threads", [1, 2])
def test_no_bit_of_the_training_changes(tmp_path, small_run, small_scene, views, threads):
    train(small_run, OFTEN, small_scene, tmp_path / "with", threads=threads, validation=views)
    train(small_run, OFTEN, small_scene, tmp_path / "without", threads=threads)
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    kept = [
        [(row.step, row.loss, row.psnr, row.losses) for row in read_rows(tmp_path / name / "history.csv")]
        for name in ("with", "without")
    ]
    assert kept[0] == kept[1]
    assert (tmp_path / "without" / "validation.csv").read_text() == "step,level,view,psnr,ssim,seconds\n"


@pytest.mark.parametrize("stops", [[4], [6, 3], [9]], ids=str)
def test_stopped_and_continued_it_is_never_stopped(tmp_path, monkeypatch, small_run, small_scene, views, stops):
    train(small_run, OFTEN, small_scene, tmp_path / "whole", threads=1, validation=views)
    original = stepping.train_step
    for stop in stops:
        steps = iter(range(1, 100))

        def counted(*arguments, steps=steps, stop=stop):
            if next(steps) == stop:
                signal.raise_signal(signal.SIGTERM)
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(stepping, "train_step", counted)
            with pytest.raises(Interrupted):
                train(small_run, OFTEN, small_scene, tmp_path / "parts", threads=1, validation=views)
    train(small_run, OFTEN, small_scene, tmp_path / "parts", threads=1, validation=views)
    assert timeless(tmp_path / "parts" / "validation.csv") == timeless(tmp_path / "whole" / "validation.csv")
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def at_call(monkeypatch, number, action):
    """Does `action` when the view `number`, counted from 1 over the whole training, is to be rendered."""
    original, calls = validating.render_image, itertools.count(1)

    def render(*arguments):
        if next(calls) == number:
            action()
        return original(*arguments)

    monkeypatch.setattr(validating, "render_image", render)


def stop():
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_puts_a_rendering_off_until_the_training_goes_on(tmp_path, monkeypatch, small_run, small_scene, views):
    train(small_run, OFTEN, small_scene, tmp_path / "whole", threads=1, validation=views)
    with monkeypatch.context() as patch:
        at_call(patch, 5, stop)  # the second view at step 8
        with pytest.raises(Interrupted, match="step 8 is saved"):
            train(small_run, OFTEN, small_scene, tmp_path / "parts", threads=1, validation=views)
    (table,) = tmp_path.glob("parts/checkpoints/*/validation.csv")
    assert {row.step for row in read_validation(table)} == {4}
    train(small_run, OFTEN, small_scene, tmp_path / "parts", threads=2, validation=views)
    assert timeless(tmp_path / "parts" / "validation.csv") == timeless(tmp_path / "whole" / "validation.csv")
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_what_a_lost_step_was_validated_with_is_dropped_also_where_validation_is_off(
    tmp_path, monkeypatch, small_run, small_scene, views
):
    original, calls = stepping.train_step, itertools.count(1)

    def die_at_10(*arguments):
        if next(calls) == 10:
            raise KeyboardInterrupt  # nothing is saved
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stepping, "train_step", die_at_10)
        with pytest.raises(KeyboardInterrupt):
            train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    (table,) = tmp_path.glob("checkpoints/*/validation.csv")
    assert {row.step for row in read_validation(table)} == {4, 8}
    train(small_run, OFTEN, small_scene, tmp_path, threads=1)  # from step 5 on
    assert {row.step for row in read_validation(tmp_path / "validation.csv")} == {4}


def test_at_the_end_the_state_is_saved_before_views_are_rendered(tmp_path, monkeypatch, small_run, small_scene, views):
    found = []

    def look():
        found.extend(path.name[:13] for path in tmp_path.glob("checkpoints/*/step_00000012-*.pt"))
        stop()

    original = training.StateWriter.save
    # Written by a thread: the test waits for it, the training need not.
    monkeypatch.setattr(training.StateWriter, "save", lambda self, *state: (original(self, *state), self.wait()))
    at_call(monkeypatch, 7, look)
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    assert found == ["step_00000012"]
    assert [row.step for row in read_validation(tmp_path / "validation.csv")[-3:]] == [12] * 3


def test_only_the_newest_pictures_are_kept(tmp_path, monkeypatch, small_run, small_scene, views):
    monkeypatch.setattr(validating, "KEPT_PICTURES", 2)
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    assert {path.name[:8] for path in (tmp_path / "validation").glob("*.png")} == {"00000008", "00000012"}
    assert len(read_validation(tmp_path / "validation.csv")) == 9


@pytest.mark.slow
def test_a_compiled_training_is_validated_and_stays_the_same(tmp_path, monkeypatch, small_run, small_scene, views):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    operation = OFTEN.model_copy(update={"network": "compiled"})
    train(small_run, operation, small_scene, tmp_path / "with", threads=1, validation=views)
    train(small_run, operation, small_scene, tmp_path / "without", threads=1)
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert len(read_validation(tmp_path / "with" / "validation.csv")) == 9


@pytest.mark.slow
def test_its_time_is_not_that_of_the_training(tmp_path, monkeypatch, small_run, small_scene, views):
    original, slept = validating.render_image, []

    def slow(*arguments):
        slept.append(time.sleep(0.3))
        return original(*arguments)

    monkeypatch.setattr(validating, "render_image", slow)
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    assert len(slept) == 9
    assert read_rows(tmp_path / "history.csv")[-1].seconds < 0.3 * 9


def test_pictures_of_another_training_go(tmp_path, small_run, run_with, small_scene, views):
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    seldom = OFTEN.model_copy(update={"validate_every": 6})
    train(run_with(train={"seed": 1}), seldom, small_scene, tmp_path, threads=1, validation=views)
    steps = {path.name[:8] for path in (tmp_path / "validation").glob("*.png")}
    assert steps == {"00000006", "00000012"}
    # Back to the first, of which no step is taken: none of the other's pictures stands for one of its own.
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    assert not list((tmp_path / "validation").glob("*.png"))


def test_memory_that_does_not_hold_a_view_costs_a_warning(tmp_path, monkeypatch, caplog, small_run, small_scene, views):
    def full(*arguments):
        raise torch.cuda.OutOfMemoryError("there is none")

    monkeypatch.setattr(validating, "render_image", full)
    train(small_run, OFTEN, small_scene, tmp_path, threads=1, validation=views)
    assert "step 12 is not validated: there is none" in caplog.text
    assert read_validation(tmp_path / "validation.csv") == []


def test_twenty_times_over_a_training_unless_told_otherwise(tmp_path, run_with, small_scene, views):
    run = run_with(train={"max_steps": 60})
    operation = OFTEN.model_copy(update={"validate_every": None})
    train(run, operation, small_scene, tmp_path, threads=1, validation=views.select([0]))
    assert [row.step for row in read_validation(tmp_path / "validation.csv")] == list(range(3, 61, 3))


# --- which views ---


def run_of(**data):
    return RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=2, data=data)


def test_they_are_of_the_validation_split_at_the_level_asked_for(tmp_path, monkeypatch):
    write_scene(tmp_path / "source", {"train": 3, "val": 5, "test": 2}, 32, 32)
    convert_to_multiscale(tmp_path / "source", tmp_path / "scene", num_levels=2)
    whole = load_scene(tmp_path / "scene", "val", 2, run_of().data)
    chosen = validation_views(tmp_path / "scene", run_of(), OFTEN)
    assert (chosen.views.tolist(), set(chosen.levels), chosen.widths[0]) == ([0, 2], {1}, 16)
    assert np.array_equal(chosen.images[1], whole.at_level(1).images[2])
    fine = validation_views(tmp_path / "scene", run_of(), OFTEN.model_copy(update={"validate_level": 0}))
    assert (set(fine.levels), fine.widths[0]) == ({0}, 32)
    assert validation_views(tmp_path / "scene", run_of(), OFTEN.model_copy(update={"validate_every": 0})) is None
    coarse = validation_views(tmp_path / "scene", run_of(), OFTEN.model_copy(update={"validate_level": 2}))
    assert (set(coarse.levels), coarse.widths[0]) == ({1}, 16)
    monkeypatch.setenv("RANK", "1")
    assert validation_views(tmp_path / "scene", run_of(), OFTEN) is None


def test_without_a_validation_split_they_are_test_views_and_never_trained_on(tmp_path):
    toy = make_toy(views=9, width=16, height=12)
    write_json(write_images(toy, tmp_path / "capture"), transforms_of(toy))
    write_llff_scene(tmp_path / "llff", 9, 32, 24)
    for name in ("capture", "llff"):
        run = run_of(white_bkgd=False)
        trained = load_scene(tmp_path / name, "train", 2, run.data)
        chosen = validation_views(tmp_path / name, run, OFTEN)
        assert chosen.num_views == 2
        assert not {pose.tobytes() for pose in trained.camtoworlds} & {pose.tobytes() for pose in chosen.camtoworlds}
    blender = RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=1)
    write_scene(tmp_path / "blender", {"train": 3, "val": 0, "test": 2}, 16, 16)
    assert validation_views(tmp_path / "blender", blender, OFTEN).num_views == 2


def test_a_scene_without_such_views_is_trained_all_the_same(tmp_path, caplog):
    blender = RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=1)
    write_scene(tmp_path / "scene", {"train": 3, "val": 0, "test": 0}, 16, 16)
    assert validation_views(tmp_path / "scene", blender, OFTEN) is None
    assert "toy/mipnerf/box is not validated while it trains" in caplog.text


def test_scores_are_those_of_the_evaluation():
    image = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0))
    assert score_view(image, image * 0.9).keys() == {"psnr", "ssim"}
