"""The inspection of a scene as its run reads it, and the command that prints it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from inspected_scenes import CONFIG, RUN
from scene_files import write_llff_scene, write_scene

from mipnerf.config import parse_config
from mipnerf.config.runs import run_of_scene, scene_folder
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.errors import ConfigError, DataError
from mipnerf.inspection.report import format_inspection, inspect_configured, inspect_scene


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a converted scene, an LLFF one and a configuration of both."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "config").mkdir()
    values = {
        "datasets": {
            "toys": {"source": "toy_source", "scenes": ["box", "missing"]},
            "photos": {"source": "photo_source", "scenes": ["fern"], "layout": "llff", "levels": 2},
        },
        "variants": {"mipnerf": {}},
        "runs": [{"dataset": "toys", "variants": ["mipnerf"], "data": {"near": 2.5}}],
    }
    for name in ("datasets", "variants", "config"):
        (folder / "config" / f"{name}.yaml").write_text(
            yaml.safe_dump(values if name == "datasets" else {"scale": 1.0})
        )
    write_scene(folder / "raw", {"train": 5, "val": 2, "test": 2})
    convert_to_multiscale(folder / "raw", folder / "data" / "toys" / "box")
    write_llff_scene(folder / "data" / "sources" / "photo_source" / "fern", 9, 24, 16)
    return folder


def inspected(project: Path, name: str, output: Path, **changes) -> dict:
    return inspect_configured(name, project, [], output, **changes)


def test_a_converted_scene_is_read_as_its_run_reads_it(project, tmp_path):
    result = inspected(project, "toys/box", tmp_path)
    assert [(name, facts["views"]) for name, facts in result["splits"].items()] == [
        ("train", 5),
        ("val", 2),
        ("test", 2),
    ]
    assert [level["sizes"] for level in result["splits"]["train"]["levels"]] == [
        [[16, 16]],
        [[8, 8]],
        [[4, 4]],
        [[2, 2]],
    ]
    assert result["cameras"]["train"]["near"]["min"] == 2.5
    assert [Path(path).name for path in result["pictures"]] == ["cameras.png", "images.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in result["pictures"])
    text = format_inspection(json.loads(json.dumps(result)))
    for part in ("5 views, 16×16, 8×8, 4×4, 2×2 pixels, RGBA", "looking inward", "near 2.5, far 6", str(tmp_path)):
        assert part in text


@pytest.mark.slow
def test_the_same_scene_gives_the_same_pictures(project, tmp_path):
    inspected(project, "toys/box", tmp_path / "a")
    inspected(project, "toys/box", tmp_path / "b")
    for name in ("cameras.png", "images.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_capture_has_two_splits_and_bounds_in_ndc(project, tmp_path):
    result = inspected(project, "photos/fern", tmp_path)
    assert list(result["splits"]) == ["train", "test"]
    assert "looking forward" in format_inspection(result)
    assert "near 0, far 1, in normalised device coordinates" in format_inspection(result)


def test_a_bad_validation_split_is_a_warning_and_bad_training_data_an_error(tmp_path):
    source = write_scene(tmp_path / "box")
    run = RUN.model_copy(update={"levels": 1})
    (source / "transforms_val.json").write_text("{")
    result = inspect_scene(source, run, tmp_path / "out")
    assert result["warnings"][0]["message"].startswith("val: ")
    assert "transforms_val.json: not valid JSON" in format_inspection(result)
    (source / "train" / "r_1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"r_1\.png"):
        inspect_scene(source, run, tmp_path / "out")


def test_what_is_not_there_is_answered_with_what_is(project, tmp_path):
    for name, message in (
        ("toyz/box", "'toyz' is unknown .did you mean 'toys'"),
        ("toys/bux", "'bux' is unknown .did you mean 'box'"),
        ("toys", "'toys' must be DATASET/SCENE"),
        ("/", "must be DATASET/SCENE"),
    ):
        with pytest.raises(ConfigError, match=message):
            inspected(project, name, tmp_path)
    with pytest.raises(DataError, match=r"toys/missing does not exist; `snakemake --cores 8 data`"):
        inspected(project, "toys/missing", tmp_path)
    # Elsewhere, the configuration is that of the workflow.
    with pytest.raises(ConfigError, match="'toys' is unknown; known are bricks"):
        inspected(tmp_path, "toys/box", tmp_path)


@pytest.mark.slow
def test_the_command_prints_text_or_json(project):
    command = [sys.executable, "-m", "mipnerf", "inspect", "toys/box", "--json"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["scene"] == "toys/box"
    assert result.stderr == ""
    for name in ("cameras.png", "images.png"):
        assert (project / "results" / "inspect" / "toys" / "box" / name).stat().st_size > 0


def test_a_scene_without_runs_is_read_as_its_dataset_says():
    values = {}
    for name in ("datasets", "variants", "config"):
        values |= yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    suite = parse_config(values)
    run = run_of_scene(suite, "llff", "fern")
    assert (run.data.factor, run.model.ray_shape, run.levels) == (4, "cylinder", 1)
    assert run_of_scene(suite, "bricks", "bricks").data.batching == "all_levels"
    assert scene_folder(suite, "llff", "fern") == "data/sources/nerf_llff_data/fern"
    assert scene_folder(suite, "multiscale_blender", "lego") == "data/multiscale_blender/lego"
