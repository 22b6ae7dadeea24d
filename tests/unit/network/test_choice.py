"""Which implementation of the network is taken, and what is said where it cannot be the one that is asked for."""

import time

import pytest
import torch
from interpreter import need_interpreter

from mipnerf.config import ModelConfig, OperationConfig
from mipnerf.errors import ConfigError
from mipnerf.network.choice import candidates, choose_for_rendering, fastest
from mipnerf.network.fused import obstacle
from mipnerf.network.model import MipNerf

CPU = torch.device("cpu")


def slow(value, seconds=0.002):
    def call():
        time.sleep(seconds)
        return [torch.tensor([1.0, value])]

    return call


def test_a_cpu_takes_the_plain_network_unless_told_otherwise():
    assert candidates(ModelConfig(), OperationConfig(), CPU) == ["plain"]
    for network in ("plain", "compiled", "fused"):
        assert candidates(ModelConfig(), OperationConfig(network=network), CPU) == [network]


def test_the_fastest_that_agrees_is_taken(caplog):
    def broken():
        raise RuntimeError("no compiler here\nand more")

    caplog.set_level("INFO")
    trials = {"plain": slow(2.0), "wrong": slow(2.5, 0), "broken": broken, "fast": slow(2.0001, 0.0005)}
    assert fastest(trials, CPU, 1e-2, 0.01) == "fast"
    assert "the wrong network is not taken: its results are off by 0.22" in caplog.text
    assert "the broken network is not taken: no compiler here" in caplog.text
    assert fastest(trials, CPU, 1e-6, 0.01) == "plain"


def test_results_that_are_not_numbers_do_not_agree():
    assert fastest({"plain": slow(1.0), "nan": slow(float("nan"), 0)}, CPU, 1e-2, 0.01) == "plain"


def test_the_first_must_work():
    def broken():
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        fastest({"plain": broken, "other": slow(1.0)}, CPU, 1e-2, 0.01)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"net_width": 512}, "model.net_width 512 is more than 256"),
        ({"net_depth": 31}, "model.net_depth 31 is more than 30"),
        ({"net_width_condition": 256}, "model.net_width_condition 256 is more than 128"),
        ({"net_activation": "softplus"}, "model.net_activation softplus is not relu"),
        ({"stop_level_grad": False}, "samples get a gradient"),
    ],
)
def test_what_the_kernels_cannot_compute_is_said(model, said):
    need_interpreter()
    with pytest.raises(
        ConfigError, match=rf"operation.network is 'fused', .*{said}.*use 'auto', 'compiled' or 'plain'"
    ):
        candidates(ModelConfig(**model), OperationConfig(network="fused"), CPU)


def test_kernels_need_a_gpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "they need a GPU" in obstacle(ModelConfig(), CPU)


def test_without_triton_it_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr("mipnerf.thirdparty.find_spec", lambda name: None)
    assert "pip install -e '.[gpu]'" in obstacle(ModelConfig(), CPU)


def test_rendering_takes_the_network_that_is_asked_for():
    need_interpreter()
    model = MipNerf(ModelConfig(net_depth=1, net_width=16, num_samples=4))
    for network, taken in (("auto", "plain"), ("compiled", "plain"), ("fused", "fused")):
        assert choose_for_rendering(model, OperationConfig(network=network), CPU, torch.float32) == taken
        assert (model.fused is not None) == (taken == "fused")
