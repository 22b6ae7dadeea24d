"""Whole programs: a training of one process by torchrun, a picture and a mesh of what it has learnt."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mipnerf.bench.check import train_on_bricks
from mipnerf.config import OperationConfig
from mipnerf.config.runs import run_from_settings
from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.evaluation.views import load_trained

ROOT = Path(__file__).parents[2]
SETTINGS = ["model.net_depth=2", "model.net_width=64", "model.net_width_condition=32", "model.num_samples=16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    render_bricks(folder / "source", size=32, num_train=4, num_val=1, num_test=2, samples=1, workers=1)
    convert_to_multiscale(folder / "source", folder / "scene", num_levels=2)
    return folder / "scene"


def call(*words, cwd=ROOT):
    result = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_torchrun_trains_and_the_network_is_shown(device, data, tmp_path):
    run = tmp_path / "bricks" / "mipnerf" / "scene"
    operation = f"operation.device={device.type}"
    values = [*SETTINGS, "train.max_steps=30", "train.batch_size=128", "train.lr_delay_steps=0", operation]
    launcher = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node=1", "--no-python", "--"]
    train = [sys.executable, ROOT / "workflow_scripts" / "train.py", "--data", data, "--output", run, "--levels", 2]
    call(*launcher, *train, "--threads", 1, "--set", *values)
    record = yaml.safe_load((run / "config.yaml").read_text())["record"]
    assert record["device"]
    assert record["network"] in ("plain", "compiled", "fused")
    common = ["--data", data, "--threads", 1, "--set", operation]
    show = [sys.executable, "-m", "mipnerf", "render", run / "model.pt", "--output", tmp_path / "view.png"]
    call(*show, "--path", "spherical", "--frame", 1, *common)
    model = load_trained(run / "model.pt", torch.device("cpu")).model
    points = torch.rand(1, 500, 3) * 2 - 1
    with torch.no_grad():
        threshold = model.query(points, torch.zeros_like(points), torch.eye(3)[:1])[1].median().item()
    call(
        *(sys.executable, "-m", "mipnerf", "mesh", run / "model.pt", "--output", tmp_path / "mesh.ply"),
        *("--resolution", 8, "--threshold", threshold, *common),
    )
    assert (tmp_path / "view.png").stat().st_size > 100
    assert (tmp_path / "mesh.ply").read_bytes().startswith(b"ply")


@pytest.mark.slow
def test_bfloat16_is_as_good_as_float32(device):
    """2,000 steps of the bricks on a GPU, by the implementation that is the fastest there."""
    is_gpu = device.type == "cuda"
    size = [] if is_gpu else [*SETTINGS, "model.max_deg_point=8"]
    batch = 4096 if is_gpu else 128
    psnr = {}
    for precision in ("float32", "bfloat16"):
        run = run_from_settings("a", "b", "c", [f"train.batch_size={batch}", f"train.precision={precision}", *size])
        operation = OperationConfig().model_copy(update={"device": device.type})
        psnr[precision] = train_on_bricks(run, operation, 1, steps=2000 if is_gpu else 40)["psnr"]
    assert abs(psnr["float32"] - psnr["bfloat16"]) < (0.5 if is_gpu else 2.0), psnr
