import pickle
import threading

import pytest
import torch

from mipnerf.errors import CheckpointError
from mipnerf.network.storage import load_model, save_model
from mipnerf.training import checkpoint
from mipnerf.training.checkpoint import StateWriter, list_states, load_newest_state, save_state

CPU = torch.device("cpu")


def test_the_newest_few_are_kept(tmp_path):
    for step in (1, 5, 20, 100_000_000):
        save_state(tmp_path, step, {"step": step}, keep=3)
    assert [int(path.name.split("-")[0][5:]) for path in list_states(tmp_path)] == [100_000_000, 20, 5]
    assert load_newest_state(tmp_path, CPU)["step"] == 100_000_000


def test_an_empty_folder_has_no_state(tmp_path):
    assert load_newest_state(tmp_path, CPU) is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_state_is_passed_over_with_a_warning(tmp_path, caplog, damage):
    save_state(tmp_path, 1, {"step": 1, "w": torch.arange(1000.0)}, keep=3)
    path = save_state(tmp_path, 2, {"step": 2, "w": torch.arange(1000.0)}, keep=3)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flip": content, "truncate": content[:-7], "empty": b""}[damage])
    assert load_newest_state(tmp_path, CPU)["step"] == 1
    assert path.name in caplog.text


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_old_state_and_no_litter(tmp_path, monkeypatch):
    save_state(tmp_path, 1, {"step": 1}, keep=1)
    monkeypatch.setattr("mipnerf.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(tmp_path, 2, {"step": 2}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == [list_states(tmp_path)[0].name]
    assert load_newest_state(tmp_path, CPU)["step"] == 1


def test_a_state_is_written_as_it_was_while_training_goes_on(tmp_path, monkeypatch):
    begun, may_go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        begun.set()
        assert may_go_on.wait(10)
        return save_state(*arguments)

    monkeypatch.setattr(checkpoint, "save_state", slow)
    weights = torch.zeros(3)
    with StateWriter(tmp_path, keep=3) as writer:
        writer.save(1, {"layers": [{"w": weights}], "step": 1})
        assert begun.wait(10)
        weights.fill_(9)
        writer.check()
        may_go_on.set()
    state = load_newest_state(tmp_path, CPU)
    assert state["step"] == 1
    assert torch.equal(state["layers"][0]["w"], torch.zeros(3))


def check_until_it_raises(writer):
    while True:
        writer.check()


NEXT_CALLS = {
    "save": lambda writer: writer.save(2, {"step": 2}),
    "wait": StateWriter.wait,
    "check": check_until_it_raises,
    "leave": lambda writer: writer.__exit__(None, None, None),
}


@pytest.mark.parametrize("call", NEXT_CALLS.values(), ids=NEXT_CALLS)
def test_a_write_that_fails_beside_the_training_is_raised_by_the_next_call(tmp_path, monkeypatch, call):
    monkeypatch.setattr("mipnerf.files.os.fsync", full)
    writer = StateWriter(tmp_path, keep=3)
    writer.save(1, {"step": 1})
    with pytest.raises(OSError, match="No space"):
        call(writer)
    assert list(tmp_path.iterdir()) == []


def test_a_model_comes_back_as_it_was(tmp_path):
    weights = torch.randn(3)
    save_model(tmp_path / "model.pt", {"run": {}, "parameters": {"w": weights}})
    assert torch.equal(load_model(tmp_path / "model.pt", CPU)["parameters"]["w"], weights)


def test_the_same_model_is_the_same_file(tmp_path):
    for name in ("a.pt", "b.pt"):
        save_model(tmp_path / name, {"run": {}, "parameters": {"w": torch.ones(3)}})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


class Evil:
    def __reduce__(self):
        return (exit, (3,))


@pytest.mark.parametrize("content", [b"", b"no model", pickle.dumps(Evil())], ids=["empty", "text", "code"])
def test_a_file_that_is_no_model_is_refused_and_never_run(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt cannot be read"):
        load_model(path, CPU)


def test_a_missing_or_foreign_model_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "model.pt", CPU)
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a model of this suite"):
        load_model(tmp_path / "other.pt", CPU)
