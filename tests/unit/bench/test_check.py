"""The page of `python -m mipnerf check`, at toy size."""

import json
import subprocess
import sys

import pytest
import torch
from interpreter import need_interpreter

from mipnerf.bench import check as checking
from mipnerf.bench import checks
from mipnerf.bench.bandwidth import copy_bandwidth, training_bytes
from mipnerf.bench.checks import CheckFailed, NotHere, make_bench
from mipnerf.config import ModelConfig
from mipnerf.planning.speed import benched_speed

CPU = torch.device("cpu")
TINY = ["model.net_depth=2", "model.net_width=16", "model.net_width_condition=16", "model.num_samples=4"]


@pytest.mark.slow
def test_one_page_and_a_file_that_plan_takes(tmp_path):
    path = tmp_path / "check.json"
    options = ["--set", "operation.device=cpu", *TINY, "--seconds", "0.01", "--training-seconds", "0.5"]
    command = [sys.executable, "-m", "mipnerf", "check", *options, "--threads", "1", "--json", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for said in ("works     stopped and continued to the bit", "share of the bound of products", "bricks"):
        assert said in result.stdout
    content = json.loads(path.read_text())
    assert {row["outcome"] for row in content["checks"]} == {"works", "not here"}
    assert content["hours_of_the_paper"] is None, "it is another network"
    assert content["bricks"]["steps"] > 0
    assert benched_speed(path)[0].training > 0


def test_a_check_that_fails_is_told_and_hides_no_other(monkeypatch):
    def fails(bench):
        raise CheckFailed("that is wrong")

    def is_not_here(bench):
        raise NotHere("needs more")

    def breaks(bench):
        raise ValueError("unforeseen\nand more")

    calls = {"a": fails, "b": is_not_here, "c": breaks, "d": lambda bench: "fine"}
    monkeypatch.setattr(checking, "CHECKS", calls)
    assert [(row["outcome"], row["detail"]) for row in checking.try_all(CPU)] == [
        ("fails", "that is wrong"),
        ("not here", "needs more"),
        ("fails", "ValueError: unforeseen"),
        ("works", "fine"),
    ]


def test_an_implementation_that_is_off_fails(monkeypatch, tmp_path):
    need_interpreter()
    monkeypatch.setattr(checks, "TOLERANCES", {torch.float32: 1e-9, torch.bfloat16: 1e-9})
    with pytest.raises(CheckFailed, match=r"off by .* \(allowed 1e-09\)"):
        checks.implementations_agree(make_bench(CPU, tmp_path, net_depth=2, net_width=16, num_samples=4))


def test_what_a_fused_step_moves():
    # 8 layers of 256, density, bottleneck, 128 and the colour; written and read in 2 bytes, for 256 samples.
    assert training_bytes(ModelConfig(), torch.bfloat16) == 2 * 2 * (8 * 256 + 1 + 256 + 128 + 3) * 256
    assert copy_bandwidth(CPU, 0.01, size=1 << 16) > 0
