import csv
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import ModelConfig, OperationConfig
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.views import Evaluator, load_trained, score_view, to_uint8, to_uint16
from mipnerf.network import rendering
from mipnerf.network.model import MipNerf
from mipnerf.network.rendering import render_image, render_rays, suitable_chunk
from mipnerf.pixels import to_rgb
from mipnerf.training.loop import train
from mipnerf.workers import Workers

OPERATION = OperationConfig(device="cpu")


def psnrs(path):
    """The PSNR of every view."""
    with open(path, newline="") as stream:
        return [float(row["value"]) for row in csv.DictReader(stream) if row["metric"] == "psnr"]


@pytest.fixture
def trained(tmp_path, run_with, small_scene):
    train(run_with(train={"precision": "float32"}), OPERATION, small_scene, tmp_path / "run", threads=1)
    return load_trained(tmp_path / "run" / "model.pt", torch.device("cpu"))


def evaluate(trained, scene, level, folder, **options):
    """Evaluate one level; its files are in `folder/level_K`, which comes back."""
    Evaluator.create(trained, OPERATION, threads=1, **options).evaluate(scene, [level], folder)
    return folder / f"level_{level}"


def test_chunks_do_not_change_the_picture(trained, small_scene):
    model = trained.model
    cameras = Cameras.from_scene(small_scene)
    whole = render_image(model, cameras, 0, 8, 8, True)
    for chunk in (1, 7, 64):
        for part, all_at_once in zip(render_image(model, cameras, 0, 8, 8, True, chunk_rays=chunk), whole, strict=True):
            torch.testing.assert_close(part, all_at_once, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("limit", [40, 3])
def test_fewer_rays_are_rendered_at_a_time_where_memory_runs_out(trained, small_scene, monkeypatch, caplog, limit):
    cameras = Cameras.from_scene(small_scene)
    whole = render_image(trained.model, cameras, 0, 8, 8, True)
    original = MipNerf.render_levels

    def render_levels(self, rays, *args):
        if len(rays) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(self, rays, *args)

    monkeypatch.setattr(MipNerf, "render_levels", render_levels)
    for part, all_at_once in zip(render_image(trained.model, cameras, 0, 8, 8, True), whole, strict=True):
        torch.testing.assert_close(part, all_at_once, atol=2e-6, rtol=1e-5)
    assert "out of memory" in caplog.text
    with pytest.raises(ConfigError, match=r"41 rays at a time do not fit.*render_rays"):
        render_image(trained.model, cameras, 0, 8, 8, True, chunk_rays=41)


@pytest.mark.parametrize(("gigabytes", "samples"), [(80, 1 << 22), (8, 1 << 19), (0.08, 1 << 13), (0, 1 << 13)])
def test_a_gpu_renders_as_many_rays_at_a_time_as_its_memory_holds(monkeypatch, gigabytes, samples):
    monkeypatch.setattr(rendering, "free_memory", lambda _: gigabytes * 1e9)
    for precision in (torch.float32, torch.bfloat16):
        assert suitable_chunk(ModelConfig(), torch.device("cuda"), precision) == samples // 128
    assert suitable_chunk(ModelConfig(), torch.device("cpu"), torch.float32) == (1 << 13) // 128
    assert suitable_chunk(ModelConfig(), torch.device("cpu"), torch.bfloat16) == (1 << 14) // 128


def test_threads_do_not_change_a_bit(trained, small_scene):
    model = trained.model
    cameras = Cameras.from_scene(small_scene)
    pictures = [
        render_image(model, cameras, 0, 8, 8, True, chunk_rays=5, workers=Workers(count, torch.device("cpu"))).rgb
        for count in (1, 3)
    ]
    assert torch.equal(*pictures)


def test_rendering_is_the_finest_level_without_jitter(trained, small_scene):
    model = trained.model
    rays = image_rays(Cameras.from_scene(small_scene), 2, 8, 8)
    with torch.no_grad():
        expected = model(rays, False, True)[-1]
    for value, wanted in zip(render_rays(model, rays, True, chunk_rays=64), expected, strict=True):
        torch.testing.assert_close(value, wanted)


def test_a_level_is_scored_view_by_view(tmp_path, trained, small_scene):
    scene = small_scene.select([0, 1, 2, 3])
    evaluate(trained, scene, 0, tmp_path)
    with open(tmp_path / "level_0" / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["dataset"], r["variant"], r["scene"], r["level"], r["view"], r["metric"]) for r in rows] == [
        ("toy", "mipnerf", "box", "0", str(view), metric)
        for view in (0, 1)
        for metric in ("psnr", "seconds_per_megapixel")
    ]
    assert all(float(row["value"]) > 0 for row in rows)
    model = trained.model
    rows = [row for row in rows if row["metric"] == "psnr"]
    for row, image in zip(rows, scene.at_level(0).images, strict=True):
        rgb = render_image(model, Cameras.from_scene(scene.at_level(0)), int(row["view"]), 8, 8, True).rgb
        truth = to_rgb(torch.tensor(image), True)
        assert float(row["value"]) == pytest.approx(-10 * np.log10(((rgb - truth) ** 2).mean().item()), abs=1e-4)
        picture = iio.imread(tmp_path / "level_0" / "renderings" / f"{int(row['view']):03d}.png")
        assert np.abs(picture / 255 - rgb.clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-3


def test_a_view_keeps_its_number_when_only_some_are_evaluated(tmp_path, trained, small_scene):
    evaluate(trained, small_scene.select([0, 1, 4, 5]), 1, tmp_path)
    with open(tmp_path / "level_1" / "metrics.csv", newline="") as stream:
        assert [row["view"] for row in csv.DictReader(stream) if row["metric"] == "psnr"] == ["0", "2"]
    names = {path.name for path in (tmp_path / "level_1" / "renderings").iterdir()}
    assert names == {f"{view}{suffix}.png" for view in ("000", "002") for suffix in ("", "_depth", "_acc")}


def test_depth_and_opacity_are_written_beside_the_colours(tmp_path, trained, small_scene):
    folder = evaluate(trained, small_scene, 0, tmp_path)
    scene = small_scene.at_level(0)
    rendering = render_image(trained.model, Cameras.from_scene(scene), 1, 8, 8, True)
    depth, acc = (iio.imread(folder / "renderings" / f"001_{name}.png") for name in ("depth", "acc"))
    assert (depth.dtype, depth.shape, acc.dtype, acc.shape) == (np.uint16, (8, 8), np.uint8, (8, 8))
    near, far = scene.nears[1], scene.fars[1]
    assert np.abs(near + depth / 65535 * (far - near) - rendering.distance.numpy()).max() < 1e-3 * (far - near)
    assert np.abs(acc / 255 - rendering.acc.clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-3
    ends = to_uint16(torch.tensor([near - 1, near, (near + far) / 2, far, far + 1]), near, far)
    assert ends.tolist() == [0, 0, 32768, 65535, 65535]
    # Half of the disparity is at twice the distance where far is as good as infinity.
    assert to_uint16(torch.tensor([1.0, 2.0, 1e9]), 1.0, 1e9, unbounded=True).tolist() == [0, 32768, 65535]


def test_supersampling_averages_renderings_of_full_resolution(tmp_path, trained, small_scene):
    evaluate(trained, small_scene, 1, tmp_path, supersample=True)
    fine = render_image(trained.model, Cameras.from_scene(small_scene.at_level(0)), 2, 8, 8, True).rgb
    expected = torch.stack([fine[y::2, x::2] for y in (0, 1) for x in (0, 1)]).mean(0)
    picture = iio.imread(tmp_path / "level_1" / "renderings" / "002.png") / 255
    assert np.abs(picture - expected.clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-3


def test_supersampling_changes_nothing_at_full_resolution(tmp_path, trained, small_scene):
    for name, supersample in (("plain", False), ("fine", True)):
        evaluate(trained, small_scene, 0, tmp_path / name, supersample=supersample)
    plain, fine = (iio.imread(tmp_path / name / "level_0" / "renderings" / "001.png") for name in ("plain", "fine"))
    assert np.array_equal(plain, fine)


def test_pixels_of_sixteen_bits_are_scored_as_they_are(tmp_path, trained, small_scene):
    wide = replace(small_scene, images=[image.astype(np.uint16) * 4 for image in small_scene.images], max_value=1020)
    for name, scene in (("narrow", small_scene), ("wide", wide)):
        evaluate(trained, scene, 0, tmp_path / name)
    narrow, wide = (psnrs(tmp_path / name / "level_0" / "metrics.csv") for name in ("narrow", "wide"))
    assert narrow == pytest.approx(wide, abs=1e-5)


def test_ssim_is_scored_where_its_window_fits():
    image = torch.rand(12, 13, 3)
    assert list(score_view(image, image + 0.01)) == ["psnr", "ssim"]
    assert list(score_view(image[:10], image[:10] + 0.01)) == ["psnr"]


def test_lpips_is_scored_where_it_is_measured():
    image = torch.rand(12, 13, 3)
    scores = score_view(image, image, lambda rgb, truth: float((rgb - truth).abs().sum()))
    assert list(scores.items())[2:] == [("lpips", 0.0)]
    assert list(score_view(image, image, lambda rgb, truth: None)) == ["psnr", "ssim"]


def test_pictures_are_rounded_not_truncated():
    values = torch.tensor([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 254.6 / 255, 1.2])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]


def test_a_level_that_is_not_there_is_named_before_anything_is_rendered(tmp_path, trained, small_scene):
    with pytest.raises(DataError, match="no view of level 3; its levels are 0 to 1"):
        Evaluator.create(trained, OPERATION, threads=1).evaluate(small_scene, [0, 3], tmp_path / "out")
    assert not (tmp_path / "out").exists()
