import csv

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from mipnerf.batching import image_rays, to_rgb
from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig
from mipnerf.errors import DataError
from mipnerf.evaluation import evaluate_level, load_trained, score_view, to_uint8
from mipnerf.rendering import render_image, render_rays
from mipnerf.training import train
from mipnerf.workers import Workers

OPERATION = OperationConfig(device="cpu")


@pytest.fixture
def model_file(tmp_path, run_with, small_scene):
    train(run_with(train={"precision": "float32"}), OPERATION, small_scene, tmp_path / "run", threads=1)
    return tmp_path / "run" / "model.pt"


def test_chunks_do_not_change_the_picture(model_file, small_scene):
    model, _ = load_trained(model_file, torch.device("cpu"))
    cameras = Cameras.from_scene(small_scene)
    whole = render_image(model, cameras, 0, 8, 8, True)
    for chunk in (1, 7, 64):
        for part, all_at_once in zip(render_image(model, cameras, 0, 8, 8, True, chunk_rays=chunk), whole, strict=True):
            torch.testing.assert_close(part, all_at_once, atol=2e-6, rtol=1e-5)


def test_threads_do_not_change_a_bit(model_file, small_scene):
    model, _ = load_trained(model_file, torch.device("cpu"))
    cameras = Cameras.from_scene(small_scene)
    pictures = [
        render_image(model, cameras, 0, 8, 8, True, chunk_rays=5, workers=Workers(count, torch.device("cpu"))).rgb
        for count in (1, 3)
    ]
    assert torch.equal(*pictures)


def test_rendering_is_the_finest_level_without_jitter(model_file, small_scene):
    model, _ = load_trained(model_file, torch.device("cpu"))
    rays = image_rays(Cameras.from_scene(small_scene), 2, 8, 8)
    with torch.no_grad():
        expected = model(rays, False, True)[-1]
    for value, wanted in zip(render_rays(model, rays, True, chunk_rays=64), expected, strict=True):
        torch.testing.assert_close(value, wanted)


def test_a_level_is_scored_view_by_view(tmp_path, model_file, small_scene):
    scene = small_scene.select([0, 1, 2, 3])
    evaluate_level(model_file, scene, 0, OPERATION, tmp_path / "level_0", threads=1)
    with open(tmp_path / "level_0" / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["dataset"], r["variant"], r["scene"], r["level"], r["view"], r["metric"]) for r in rows] == [
        ("toy", "mipnerf", "box", "0", str(view), "psnr") for view in (0, 1)
    ]
    model, _ = load_trained(model_file, torch.device("cpu"))
    for row, image in zip(rows, scene.at_level(0).images, strict=True):
        rgb = render_image(model, Cameras.from_scene(scene.at_level(0)), int(row["view"]), 8, 8, True).rgb
        truth = to_rgb(torch.tensor(image), True)
        assert float(row["value"]) == pytest.approx(-10 * np.log10(((rgb - truth) ** 2).mean().item()), abs=1e-4)
        picture = iio.imread(tmp_path / "level_0" / "renderings" / f"{int(row['view']):03d}.png")
        assert np.abs(picture / 255 - rgb.clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-3


def test_a_view_keeps_its_number_when_only_some_are_evaluated(tmp_path, model_file, small_scene):
    evaluate_level(model_file, small_scene.select([0, 1, 4, 5]), 1, OPERATION, tmp_path / "level_1", threads=1)
    with open(tmp_path / "level_1" / "metrics.csv", newline="") as stream:
        assert [row["view"] for row in csv.DictReader(stream)] == ["0", "2"]
    assert sorted(path.name for path in (tmp_path / "level_1" / "renderings").iterdir()) == ["000.png", "002.png"]


def test_the_bounds_of_the_training_are_those_of_the_evaluation(tmp_path, run_with, small_scene):
    run = run_with(data={"near": 1.0, "far": 9.0}, train={"precision": "float32"})
    train(run, OPERATION, small_scene, tmp_path / "run", threads=1)
    evaluate_level(tmp_path / "run" / "model.pt", small_scene, 1, OPERATION, tmp_path / "level_1", threads=1)
    model, _ = load_trained(tmp_path / "run" / "model.pt", torch.device("cpu"))
    cameras = Cameras.from_scene(small_scene.at_level(1).with_bounds(1.0, 9.0))
    expected = to_uint8(render_image(model, cameras, 0, 4, 4, True).rgb).astype(int)
    picture = iio.imread(tmp_path / "level_1" / "renderings" / "000.png").astype(int)
    assert np.abs(picture - expected).max() <= 1


def test_ssim_is_scored_where_its_window_fits():
    image = torch.rand(12, 13, 3)
    assert [score.metric for score in score_view(0, image, image + 0.01)] == ["psnr", "ssim"]
    assert [score.metric for score in score_view(0, image[:10], image[:10] + 0.01)] == ["psnr"]


def test_pictures_are_rounded_not_truncated():
    values = torch.tensor([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 254.6 / 255, 1.2])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]


def test_a_level_that_is_not_there_is_named(tmp_path, model_file, small_scene):
    with pytest.raises(DataError, match="no view of level 3; its levels are 0 to 1"):
        evaluate_level(model_file, small_scene, 3, OPERATION, tmp_path, threads=1)
