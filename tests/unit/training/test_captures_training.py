"""Real captures, forward-facing and all around, are trained on and rendered at every level, whatever their layout."""

import csv
import math

import pytest
import torch
from capture_files import toy_of_llff, transforms_of, write_colmap, write_images, write_json

from mipnerf.config import OperationConfig
from mipnerf.datasets.load import load_scene
from mipnerf.evaluation.views import Evaluator, load_trained
from mipnerf.training.loop import train

OPERATION = OperationConfig(device="cpu")
FACING = {"ray_shape": "cylinder", "density_noise": 1.0}
AROUND = {"factor": 8, "spherify": True, "near": 0.1, "far": 2.0}
CASES = {
    "facing": ("ff", "llff", 1, FACING, {"factor": 8}),
    "facing, multiscale": ("ff", "llff", 3, FACING, {"factor": 8}),
    "around": ("360", "llff", 1, {}, AROUND),
    "around, multiscale": ("360", "llff", 3, {}, AROUND),
    "transforms, multiscale": ("360", "transforms", 3, {}, {}),
    "colmap, reduced": ("360", "colmap", 1, {}, {"factor": 2}),
}


@pytest.mark.golden
@pytest.mark.parametrize("case", CASES)
def test_a_real_capture_is_trained_and_scored(golden_dir, tmp_path, run_with, case):
    kind, layout, num_levels, model, data = CASES[case]
    folder = golden_dir / "scenes" / f"beer_{kind}"
    if layout != "llff":
        toy = toy_of_llff(folder, 8)
        folder = write_images(toy, tmp_path / "beer")
        write_colmap(toy, folder)
        write_json(folder, transforms_of(toy))
        data = data | {"layout": layout}
    run = run_with(model=model, train={"max_steps": 6}, data={"white_bkgd": False, **data})
    run = run.model_copy(update={"levels": num_levels})
    scene = load_scene(folder, "train", num_levels, run.data, max_views=4)
    assert set(scene.levels) == set(range(num_levels))
    train(run, OPERATION, scene, tmp_path / "run", threads=1)
    trained = load_trained(tmp_path / "run" / "model.pt", torch.device("cpu"))
    assert trained.run.data.layout == (None if layout == "llff" else layout)
    last = num_levels - 1
    # As the evaluation of a run does: with what the model remembers alone.
    views = load_scene(folder, "test", trained.run.levels, trained.run.data, 1, level=last)
    Evaluator.create(trained, OPERATION, threads=1).evaluate(views, [last], tmp_path)
    with open(tmp_path / f"level_{last}" / "metrics.csv", newline="") as stream:
        scores = {row["metric"]: float(row["value"]) for row in csv.DictReader(stream)}
    assert 3 < scores["psnr"] < 40
    assert all(math.isfinite(value) for value in scores.values())
