import pytest
import torch
import yaml

from mipnerf.config import OperationConfig
from mipnerf.errors import CheckpointError
from mipnerf.evaluation.views import load_trained
from mipnerf.training.loop import train
from mipnerf.training.results import adopt_run


@pytest.fixture
def trained(tmp_path, small_run, small_scene):
    folder = tmp_path / "toy" / "mipnerf" / "box"
    train(small_run, OperationConfig(device="cpu"), small_scene, folder, threads=1)
    return folder


def test_an_adopted_run_is_the_same_network_under_its_own_name(trained):
    adopted = trained.parents[1] / "ss_mipnerf" / "box"
    adopt_run(trained, adopted)
    models = [load_trained(folder / "model.pt", torch.device("cpu")) for folder in (trained, adopted)]
    assert [run.variant for _, run in models] == ["mipnerf", "ss_mipnerf"]
    states = [model.state_dict() for model, _ in models]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    first, second = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (trained, adopted))
    assert second == first | {"variant": "ss_mipnerf", "record": first["record"] | {"model_of": "mipnerf"}}
    assert (adopted / "history.csv").read_text() == (trained / "history.csv").read_text()


@pytest.mark.parametrize("missing", ["model.pt", "config.yaml"])
def test_what_is_not_trained_cannot_be_adopted(trained, missing):
    (trained / missing).unlink()
    adopted = trained.parents[1] / "ss_mipnerf" / "box"
    with pytest.raises(CheckpointError, match=missing):
        adopt_run(trained, adopted)
    assert not (adopted / "model.pt").exists()
