"""TensorBoard sees the history, every step once, however often the training was stopped."""

import signal
import struct
import sys
from contextlib import contextmanager

import pytest

from mipnerf.config import OperationConfig
from mipnerf.errors import ConfigError, Interrupted
from mipnerf.training import loop as training
from mipnerf.training.events import TAGS, check_events
from mipnerf.training.history import read_rows, read_validation
from mipnerf.training.loop import train

event_pb2 = pytest.importorskip(
    "tensorboardX.proto.event_pb2", reason="the extra `tensorboard` is not installed: pip install -e '.[tensorboard]'"
)
OPERATION = OperationConfig(device="cpu", print_every=3, tensorboard=True)


def events_in(path):
    """The events of a file: length, its sum, content, its sum."""
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


def points(folder):
    """{tag: [(step, value)]} of the only file in a folder, which begins with what makes a reader forget older ones."""
    (path,) = folder.iterdir()
    version, start, *events = events_in(path)
    assert version.file_version == "brain.Event:2"
    assert (start.session_log.status, start.step) == (event_pb2.SessionLog.START, 0)
    found = {}
    for event in events:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert [event.wall_time for event in events] == sorted(event.wall_time for event in events)
    return found


def assert_shows_history(folder):
    rows = read_rows(folder / "history.csv")
    found = points(folder / "tensorboard")
    assert found.keys() == {*TAGS.values(), "train/loss_0", "train/loss_1"}
    for level in (0, 1):
        losses = [value for _, value in found[f"train/loss_{level}"]]
        assert losses == pytest.approx([row.losses[level] for row in rows])
    for name, tag in TAGS.items():
        assert [step for step, _ in found[tag]] == [row.step for row in rows] == [3, 6, 9, 12]
        assert [value for _, value in found[tag]] == pytest.approx([getattr(row, name) for row in rows])


@contextmanager
def stopped_at_7(monkeypatch):
    """A signal comes in the seventh step of the training within."""
    original = training.Trainer.take_step

    def take_step(self, *arguments):
        if self.step == 7:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "take_step", take_step)
        with pytest.raises(Interrupted):
            yield


def test_the_history_is_shown_also_after_stops_and_a_new_beginning(tmp_path, monkeypatch, small_run, small_scene):
    with stopped_at_7(monkeypatch):
        train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert [step for step, _ in points(tmp_path / "tensorboard")["train/psnr"]] == [3, 6]
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert_shows_history(tmp_path)
    train(small_run, OPERATION, small_scene, tmp_path, fresh="word", threads=1)
    assert_shows_history(tmp_path)


def test_validation_views_and_their_scores_are_shown_also_after_a_stop(tmp_path, monkeypatch, small_run, small_scene):
    operation, views = OPERATION.model_copy(update={"validate_every": 4}), small_scene.at_level(0).select([1])
    with stopped_at_7(monkeypatch):
        train(small_run, operation, small_scene, tmp_path, threads=1, validation=views)
    train(small_run, operation, small_scene, tmp_path, threads=1, validation=views)
    rows = read_validation(tmp_path / "validation.csv")
    shown = points(tmp_path / "tensorboard")["validation/psnr_view_1"]
    assert shown == [(row.step, pytest.approx(row.psnr)) for row in rows]
    assert [row.step for row in rows] == [4, 8, 12]
    (path,) = (tmp_path / "tensorboard").iterdir()
    values = [(event.step, value) for event in events_in(path) for value in event.summary.value]
    images = {step: value.image for step, value in values if value.tag == "validation/view_1"}
    assert images.keys() == {4, 8, 12}
    assert images[4].encoded_image_string == (tmp_path / "validation" / "00000004_001.png").read_bytes()
    assert (images[4].width, images[4].height) == (16, 8)


def test_nothing_is_written_unless_it_is_asked_for(tmp_path, small_run, small_scene):
    train(small_run, OPERATION.model_copy(update={"tensorboard": False}), small_scene, tmp_path, threads=1)
    assert not (tmp_path / "tensorboard").exists()


def test_without_the_package_a_training_is_refused_before_it_begins(tmp_path, monkeypatch, small_run, small_scene):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboardX: pip install -e '\.\[tensorboard\]'"):
        train(small_run, OPERATION, small_scene, tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()
    check_events(OperationConfig())
