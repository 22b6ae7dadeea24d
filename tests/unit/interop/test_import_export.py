"""Other implementations' networks as runs of this suite, and the way back."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from foreign_checkpoints import SAMPLES, SIZES, randomized, write_flax, write_lightning, write_port
from scene_files import write_scene

from mipnerf import cli
from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import ModelConfig, OperationConfig
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.errors import CheckpointError
from mipnerf.evaluation.views import load_trained
from mipnerf.network.model import MipNerf
from mipnerf.network.rendering import render_rays
from mipnerf.report.frame import Run
from mipnerf.training.loop import train

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
WRITERS = {"flax": write_flax, "mipnerf-pytorch": write_port, "mipnerf_pl": write_lightning}


@pytest.fixture
def command(monkeypatch):
    """A function: arguments of `python -m mipnerf`, which it calls."""

    def call(*arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", ["mipnerf", *map(str, arguments)])
        cli.main()

    return call


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "results" / "toy" / "mipnerf" / "box"


@pytest.fixture
def model() -> MipNerf:
    return randomized(MipNerf(ModelConfig(**SIZES | SAMPLES)))


@pytest.mark.parametrize("layout", WRITERS)
def test_an_imported_network_renders_the_very_same_picture(tmp_path, command, folder, model, small_scene, layout):
    path = WRITERS[layout](tmp_path / "foreign", model)
    command("import", path, folder, "--set", "model.num_samples=8")
    imported, run = load_trained(folder / "model.pt", CPU)
    assert run.name == "toy/mipnerf/box"
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    pictures = zip(render_rays(imported, rays, True), render_rays(model, rays, True), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pictures)


@pytest.mark.parametrize(
    "change",
    [{"single_mlp": False}, {"use_viewdirs": False}, {"append_identity": True, "min_deg_point": 1}],
    ids=str,
)
def test_networks_of_other_shapes_render_the_very_same_picture(tmp_path, command, folder, small_scene, change):
    model = randomized(MipNerf(ModelConfig(**SIZES | SAMPLES | change)))
    lowest = f"model.min_deg_point={model.config.min_deg_point}"
    command("import", write_flax(tmp_path / "foreign", model), folder, "--set", "model.num_samples=8", lowest)
    imported = load_trained(folder / "model.pt", CPU).model
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    pictures = zip(render_rays(imported, rays, True), render_rays(model, rays, True), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pictures)


def test_a_trained_network_that_goes_out_and_in_again_is_the_same(tmp_path, command, folder, run_with, small_scene):
    train(run_with(train={"max_steps": 2}), OperationConfig(device="cpu"), small_scene, tmp_path / "run", threads=1)
    command("export", tmp_path / "run" / "model.pt", tmp_path / "out" / "checkpoint_2")
    command("import", tmp_path / "out" / "checkpoint_2", folder, "--levels", "2", "--set", "model.num_samples=8")
    before, after = (load_trained(path / "model.pt", CPU) for path in (tmp_path / "run", folder))
    assert after.run.train.max_steps == 2
    assert after.run.levels == 2
    assert after.run.model == before.run.model
    state = after.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in before.model.state_dict().items())
    command("export", folder / "model.pt", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out" / "checkpoint_2").read_bytes()


def test_a_run_says_where_it_was_imported_from(tmp_path, command, folder, model):
    command("import", write_flax(tmp_path / "checkpoint_250000", model), folder, "--set", "data.white_bkgd=false")
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "history.csv",
        "model.pt",
        "validation.csv",
    ]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["record"] == {
        "imported_from": "checkpoint_250000",
        "imported_layout": "flax",
        "imported_step": 250_000,
        "num_parameters": sum(p.numel() for p in model.parameters()),
    } | dict.fromkeys(
        [
            "train_seconds",
            "device",
            "threads",
            "precision",
            "torch",
            "train_views",
            "width",
            "height",
            "data_sha256",
            "starts",
        ]
    )
    assert config["data"]["white_bkgd"] is False
    assert config["model"]["net_width"] == 16
    assert (folder / "history.csv").read_text() == "step,loss,psnr,lr,rays_per_s,seconds,loss_0,loss_1\n"


def test_what_tables_ask_of_a_run_is_known_of_an_imported_one(tmp_path, command, folder, model):
    from mipnerf.report.conditions import facts_of
    from mipnerf.report.frame import read_metrics

    command("import", write_flax(tmp_path / "checkpoint_1", model), folder)
    (folder / "metrics.csv").write_text("dataset,variant,scene,level,view,metric,value\ntoy,mipnerf,box,0,0,psnr,20\n")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    facts = facts_of(Run(folder, "toy", "mipnerf", "box", config, read_metrics([folder / "metrics.csv"])))
    assert facts["training time"] == "imported"
    assert facts["network"].startswith("6×16")


@pytest.mark.parametrize("taken", ["model.pt", "checkpoints"])
def test_a_run_that_exists_is_never_replaced(tmp_path, command, folder, model, taken):
    (folder / taken).mkdir(parents=True)
    with pytest.raises(CheckpointError, match=rf"already holds a run \({taken}\)"):
        command("import", write_flax(tmp_path / "checkpoint_1", model), folder)
    assert [path.name for path in folder.iterdir()] == [taken]


def test_a_failed_import_leaves_no_model(tmp_path, command, folder, model, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = write_flax(tmp_path / "checkpoint_1", model)
    monkeypatch.setattr("mipnerf.training.checkpoint.torch.save", full)
    with pytest.raises(OSError, match="No space"):
        command("import", path, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "history.csv", "validation.csv"]
    monkeypatch.undo()
    command("import", path, folder)


def test_a_failed_export_leaves_what_was_there(tmp_path, command, folder, model, monkeypatch):
    command("import", write_flax(tmp_path / "checkpoint_1", model), folder)
    command("export", folder / "model.pt", tmp_path / "out")
    before = (tmp_path / "out").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mipnerf.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        command("export", folder / "model.pt", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]


@pytest.mark.slow
def test_an_imported_run_is_evaluated_as_a_trained_one(tmp_path, folder, model):
    data = tmp_path / "data"
    convert_to_multiscale(write_scene(tmp_path / "scene"), data, num_levels=2, workers=1)
    checkpoint = write_flax(tmp_path / "checkpoint_9", model)
    arguments = ["-m", "mipnerf", "import", checkpoint, folder, "--levels", "2", "--set", "model.num_samples=8"]
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "toy/mipnerf/box is the network of" in result.stderr
    arguments = ["--model", folder / "model.pt", "--data", data, "--levels", "1", "--output", folder]
    script = ROOT / "workflow_scripts" / "evaluate.py"
    subprocess.run([sys.executable, script, *arguments, "--threads", "1"], capture_output=True, check=True, cwd=ROOT)
    with open(folder / "level_1" / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["dataset"], row["variant"], row["scene"], row["level"]) for row in rows} == {
        ("toy", "mipnerf", "box", "1")
    }
    assert [row["view"] for row in rows if row["metric"] == "psnr"] == ["0", "1"]


@pytest.mark.slow
def test_the_command_refuses_with_one_message(tmp_path):
    (tmp_path / "checkpoint").write_text("none")
    arguments = ["-m", "mipnerf", "import", tmp_path / "checkpoint", tmp_path / "toy" / "mipnerf" / "box"]
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith(f"CheckpointError: {tmp_path / 'checkpoint'}: its layout is unknown")
    assert len(result.stderr.splitlines()) == 1


def test_what_dataset_and_variant_say_is_taken_from_the_projects_configuration(tmp_path, command, model, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    checkpoint = write_flax(tmp_path / "checkpoint_1", model)
    folder = tmp_path / "results" / "multiscale_llff" / "mipnerf_wo_misc" / "fern"
    command("import", checkpoint, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["levels"], config["model"]["ray_shape"], config["data"]["factor"]) == (4, "cylinder", 4)
    assert (config["model"]["density_activation"], config["data"]["white_bkgd"]) == ("relu", False)
    single = tmp_path / "results" / "blender" / "mipnerf" / "lego"
    command("import", checkpoint, single, "--set", "data.white_bkgd=false")
    config = yaml.safe_load((single / "config.yaml").read_text())
    assert (config["levels"], config["data"]["white_bkgd"]) == (1, False)
