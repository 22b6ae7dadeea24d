"""Frames in shards that survive everything, and the videos made of them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scene_files import write_llff_scene, write_scene

from mipnerf.config import OperationConfig
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.shards import WHOLE, Shard
from mipnerf.evaluation.views import to_uint8
from mipnerf.training.loop import train
from mipnerf.views.frames import render_shard
from mipnerf.views.movies import encode, label, read_frames, write_comparison, write_movie
from mipnerf.views.orbits import render_orbit
from mipnerf.views.paths import camera_path
from mipnerf.views.renderer import Renderer, depth_picture, scaled

OPERATION = OperationConfig(device="cpu")
FINGERPRINT = "abc0" * 4
SCRIPT = Path(__file__).parents[3] / "workflow_scripts" / "frames.py"


@pytest.fixture
def trained(tmp_path, run_with):
    """A folder with `model.pt`, and `data`, a scene of 16x13 pixels at one level."""
    folder = tmp_path / "run"
    config = run_with(train={"precision": "float32"}).model_copy(update={"levels": 1})
    data = write_scene(folder / "data", width=16, height=13)
    train(config, OPERATION, load_scene(data, "train", 1, config.data), folder, threads=1)
    return folder


@pytest.fixture
def render(trained):
    """A function: path, number of frames, manifest[, shard, width] -> the renderer, after `render_shard`."""

    def call(path, num_frames, manifest, *more):
        model = trained / "model.pt"
        renderer = Renderer.open(model, OPERATION, 1)
        render_shard(model, trained / "data", renderer, path, num_frames, manifest, *more)
        return renderer

    return call


def frames_of(folder):
    """The bytes of all frames below a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("[0-9]*.png"))}


def test_a_frame_is_colour_and_depth_of_its_camera_in_the_middle_of_the_canvas(tmp_path, trained, render):
    renderer = render("zoom", 4, tmp_path / "zoom" / "all.json")
    frames = read_frames([tmp_path / "zoom" / "all.json"])
    assert (frames.run, frames.path, frames.size, len(frames.files)) == ("toy/mipnerf/box", "zoom", (16, 13), 4)
    cameras = renderer.cameras(camera_path(trained / "data", renderer.trained.run.data, "zoom", 4).scene)
    for i, scale in ((0, 1.0), (3, 1 / 8)):
        picture = iio.imread(frames.files[i])
        assert picture.shape == (13, 32, 3)
        # As wide as the scale says, and as many pixels more as keep it in the middle of an odd canvas.
        height, width = (13, 16) if i == 0 else (3, 2)
        if i == 0:
            rendering = renderer(scaled(cameras, scale), 0)
        else:
            sizes = torch.tensor([[width, height]]).expand(4, 2)
            rendering = renderer(cameras.resized(torch.full((4,), scale), sizes), 3)
        top, left = (13 - height) // 2, (16 - width) // 2
        inside = picture[top : top + height]
        assert np.array_equal(inside[:, left : left + width], to_uint8(rendering.rgb))
        depth = depth_picture(rendering, 2.0, 6.0, True)
        assert np.array_equal(inside[:, 16 + left : 16 + left + width], depth)
        outside = picture.copy()
        outside[top : top + height, left : left + width] = 255
        outside[top : top + height, 16 + left : 16 + left + width] = 255
        assert (outside == 255).all()


def test_a_capture_that_faces_forward_shrinks_on_black(tmp_path, run_with):
    data = write_llff_scene(tmp_path / "fern", width=16, height=12)
    run = run_with(data={"white_bkgd": False}).model_copy(update={"levels": 1})
    train(run, OPERATION, load_scene(data, "train", 1, run.data), tmp_path, threads=1)
    model = tmp_path / "model.pt"
    renderer = Renderer.open(model, OPERATION, 1)
    for path in ("spiral", "zoom"):
        render_shard(model, data, renderer, path, 3, tmp_path / path / "0.json")
        frames = [iio.imread(file) for file in read_frames([tmp_path / path / "0.json"]).files]
        cameras = renderer.cameras(camera_path(data, run.data, path, 3).scene)
        assert np.array_equal(frames[0][:, :16], to_uint8(renderer(cameras, 0).rgb))
        is_black = (frames[-1] == 0).all(axis=-1)
        assert is_black.mean() == (0 if path == "spiral" else pytest.approx(1 - 2 * 2 / (16 * 12)))
    with pytest.raises(ConfigError, match="0 frames of width None"):
        render_shard(model, data, renderer, "spiral", 0, tmp_path / "x.json")


def test_depth_is_coloured_by_near_and_far_and_fades_into_the_background():
    from mipnerf.network.rendering import Rendering

    distance, acc = torch.tensor([[2.0, 4.0, 9.0, 2.0, 6.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.5]])
    dark, middle, bright, white, half = depth_picture(Rendering(None, distance, acc), 2.0, 6.0, True)[0].astype(int)
    assert dark.sum() < middle.sum() < bright.sum()
    assert white.tolist() == [255, 255, 255]
    assert np.abs(half - (bright + 255) / 2).max() <= 1
    assert depth_picture(Rendering(None, distance, acc), 2.0, 6.0, False)[0, 3].tolist() == [0, 0, 0]
    unbounded = depth_picture(Rendering(None, torch.tensor([[2.0, 4.0, 1e9]]), torch.ones(1, 3)), 2.0, 1e9, True, True)
    assert unbounded[0].tolist() == [dark.tolist(), middle.tolist(), bright.tolist()]


def test_shards_make_the_same_frames_as_one_job_and_what_is_there_is_kept(tmp_path, trained, render):
    render("spherical", 5, tmp_path / "whole" / "0.json", WHOLE, 10)
    manifests = [tmp_path / "parts" / f"{i}.json" for i in range(3)]
    for i in (2, 0, 1):
        render("spherical", 5, manifests[i], Shard(i, 3), 10)
    assert frames_of(tmp_path / "whole") == frames_of(tmp_path / "parts")
    whole, parts = read_frames([tmp_path / "whole" / "0.json"]), read_frames(manifests)
    assert whole.size == parts.size == (10, 8)
    assert [file.name for file in parts.files] == [f"{i:05d}.png" for i in range(5)]
    assert len({file.read_bytes() for file in parts.files}) == 5
    with pytest.raises(DataError, match="not all 5 frames, each once"):
        read_frames(manifests[:2])

    # A damaged frame, and one that is lost, are made again; nothing else is.
    before = {file: file.stat().st_mtime_ns for file in whole.files}
    content = [file.read_bytes() for file in whole.files]
    whole.files[1].write_bytes(content[1][:-20])
    whole.files[3].unlink()
    render("spherical", 5, tmp_path / "whole" / "0.json", WHOLE, 10)
    assert [file.read_bytes() for file in whole.files] == content
    assert [i for i, file in enumerate(whole.files) if file.stat().st_mtime_ns != before[file]] == [1, 3]

    # Frames of another path, size, number or network are never taken for these.
    folders = {whole.files[0].parent.name}
    for path, num_frames, width in (("zoom", 5, 10), ("spherical", 6, 10), ("spherical", 5, 11)):
        render(path, num_frames, tmp_path / "whole" / "1.json", WHOLE, width)
        folders.add(read_frames([tmp_path / "whole" / "1.json"]).files[0].parent.name)
    content = torch.load(trained / "model.pt", weights_only=True)
    next(iter(content["parameters"].values())).mul_(1.01)
    torch.save(content, trained / "model.pt")
    render("spherical", 5, tmp_path / "whole" / "1.json", WHOLE, 10)
    folders.add(read_frames([tmp_path / "whole" / "1.json"]).files[0].parent.name)
    assert len(folders) == 5
    with pytest.raises(DataError, match=r"1\.json: folder differs"):
        read_frames([tmp_path / "whole" / "0.json", tmp_path / "whole" / "1.json"])


@pytest.mark.slow
def test_a_killed_job_goes_on_and_ends_with_the_frames_of_one_that_was_not(tmp_path, trained, render):
    write_scene(trained / "data", width=64, height=64)
    command = [sys.executable, SCRIPT, "--model", trained / "model.pt", "--data", trained / "data", "--path", "zoom"]
    command += ["--frames", "24", "--threads", "1", "--output", tmp_path / "killed" / "0.json", "--width", "160"]
    command += ["--set", "operation.device=cpu"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(frames_of(tmp_path / "killed")) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "0.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").rglob("[0-9]*.png")}
    assert 3 <= len(kept) < 24

    render("zoom", 24, tmp_path / "killed" / "0.json", WHOLE, 160)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    render("zoom", 24, tmp_path / "whole" / "0.json", WHOLE, 160)
    assert len(read_frames([tmp_path / "killed" / "0.json"]).files) == 24
    assert frames_of(tmp_path / "killed") == frames_of(tmp_path / "whole")


def write_frames(folder, color, run="toy/mipnerf/box", num_frames=6, size=(31, 21)):
    """A manifest with frames of one colour, whose depth is grey."""
    width, height = size
    (folder / "frames" / FINGERPRINT).mkdir(parents=True)
    for i in range(num_frames):
        picture = np.full((height, 2 * width, 3), 128, np.uint8)
        picture[:, :width] = color
        iio.imwrite(folder / "frames" / FINGERPRINT / f"{i:05d}.png", picture)
    content = {"run": run, "path": "zoom", "frames": num_frames, "indices": list(range(num_frames))}
    content |= {"width": width, "height": height, "folder": f"frames/{FINGERPRINT}"}
    (folder / "0.json").write_text(json.dumps(content))
    return [folder / "0.json"]


def read_movie(path):
    """The properties and the frames [N, H, W, 3] of a video."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    reader = imageio_ffmpeg.read_frames(str(path))
    properties = next(reader)
    width, height = properties["size"]
    return properties, np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


@pytest.mark.slow
def test_a_video_has_every_frame_and_plays_everywhere(tmp_path):
    manifests = write_frames(tmp_path / "run", (200, 40, 40))
    stale, other = (tmp_path / "run" / "frames" / name for name in ("0" * 16, "mine"))
    stale.mkdir()
    other.mkdir()
    write_movie(manifests, 12, tmp_path / "x.mp4")
    properties, frames = read_movie(tmp_path / "x.mp4")
    assert frames.shape == (6, 22, 62, 3)
    assert (properties["fps"], properties["codec"]) == (12, "h264")
    assert properties["pix_fmt"].startswith("yuv420p")
    assert np.abs(frames[:, :, 2:29].astype(int) - (200, 40, 40)).max() < 10
    assert np.abs(frames[:, :, 33:].astype(int) - 128).max() < 10
    content = (tmp_path / "x.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it starts before all of it is there
    assert not stale.exists()
    assert other.is_dir()  # not a folder of frames
    assert (tmp_path / "run" / "frames" / FINGERPRINT).is_dir()


def test_two_runs_are_shown_side_by_side_under_their_names(tmp_path):
    left = write_frames(tmp_path / "left", (200, 40, 40), size=(60, 20))
    right = write_frames(tmp_path / "right", (40, 40, 200), run="toy/mipnerf_wo_ipe/box", size=(60, 20))
    write_comparison(left, right, 30, tmp_path / "x.mp4")
    _, frames = read_movie(tmp_path / "x.mp4")
    bar = label("mipnerf", 60)
    assert frames.shape == (6, 20 + len(bar), 120, 3)
    assert np.abs(frames[:, -18:, 2:58].astype(int) - (200, 40, 40)).max() < 10
    assert np.abs(frames[:, -18:, 62:118].astype(int) - (40, 40, 200)).max() < 10
    header = frames[:, : len(bar)]
    assert header[:, :, :60].min() < 128 < header[:, :, :60].mean()
    assert not np.array_equal(header[0, :, :60], header[0, :, 60:])
    for width in (20, 60, 800):
        assert label("nerf_area_center_misc", width).shape[1] == width
    other = write_frames(tmp_path / "other", (0, 0, 0), num_frames=5, size=(60, 20))
    with pytest.raises(DataError, match="other paths, sizes or numbers of frames"):
        write_comparison(left, other, 30, tmp_path / "y.mp4")


def test_what_is_wrong_with_frames_is_said_and_leaves_no_video(tmp_path, monkeypatch):
    manifests = write_frames(tmp_path / "run", (1, 2, 3))
    frame = tmp_path / "run" / "frames" / FINGERPRINT / "00004.png"
    iio.imwrite(frame, np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(DataError, match=r"00004.png: has shape \(5, 5, 3\)"):
        write_movie(manifests, 30, tmp_path / "x.mp4")
    frame.unlink()
    with pytest.raises(DataError, match=r"00004.png is missing; render the frames again"):
        write_movie(manifests, 30, tmp_path / "x.mp4")
    shutil.copy(frame.with_name("00003.png"), frame)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match=r"videos need ffmpeg: pip install -e '.\[video\]'"):
        write_movie(manifests, 30, tmp_path / "x.mp4")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    manifests[0].write_text(manifests[0].read_text().replace("frames/abc", "../frames/abc"))
    with pytest.raises(DataError, match="must be a path inside"):
        read_frames(manifests)
    manifests[0].write_text("{}")
    with pytest.raises(DataError, match=r"0.json: key 'run' is missing"):
        read_frames(manifests)


def test_one_frame_is_a_video_too(tmp_path):
    encode(iter([np.zeros((2, 2, 3), np.uint8)]), 30, tmp_path / "x.mp4")
    assert read_movie(tmp_path / "x.mp4")[1].shape == (1, 2, 2, 3)


def test_an_orbit_is_the_path_at_four_sizes_and_goes_on_where_it_was(trained, tmp_path):
    renderer = Renderer.open(trained / "model.pt", OPERATION, 1)
    arguments = trained / "model.pt", trained / "data", renderer, "spherical", 3, 16
    render_orbit(*arguments, tmp_path / "orbit")
    records = [json.loads((tmp_path / "orbit" / f"level_{level}.json").read_text()) for level in range(4)]
    assert [(record["frames"], record["width"]) for record in records] == [(3, 16), (3, 8), (3, 4), (3, 2)]
    frames = {path: path.stat().st_mtime_ns for path in (tmp_path / "orbit").rglob("0*.png")}
    assert len(frames) == 12
    next(iter(frames)).unlink()
    (tmp_path / "orbit" / "level_2.json").unlink()
    render_orbit(*arguments, tmp_path / "orbit")
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "orbit").rglob("0*.png")}
    assert again.keys() == frames.keys()
    assert sum(again[path] != frames[path] for path in frames) == 1


def test_cameras_that_stand_around_nothing_have_no_orbit_and_no_error(trained, tmp_path, monkeypatch):
    def refuse(*_):
        raise DataError("the cameras do not stand around anything")

    monkeypatch.setattr("mipnerf.views.frames.camera_path", refuse)
    renderer = Renderer.open(trained / "model.pt", OPERATION, 1)
    render_orbit(trained / "model.pt", trained / "data", renderer, "spherical", 3, 16, tmp_path)
    assert json.loads((tmp_path / "level_3.json").read_text())["frames"] == 0


@pytest.mark.slow
def test_the_script_of_the_orbit_takes_what_the_rule_gives(trained, tmp_path):
    command = [
        sys.executable,
        SCRIPT.with_name("orbit.py"),
        "--model",
        trained / "model.pt",
        "--data",
        trained / "data",
    ]
    command += [
        "--path",
        "spherical",
        "--frames",
        "2",
        "--width",
        "8",
        "--output",
        tmp_path,
        "--set",
        "operation.device=cpu",
    ]
    subprocess.run([*map(str, command), "--threads", "1"], check=True)
    assert json.loads((tmp_path / "level_0.json").read_text())["width"] == 8
