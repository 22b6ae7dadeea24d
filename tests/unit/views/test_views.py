"""Single views by hand: the same picture as the evaluation's, at any scale and pose."""

import json
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scene_files import write_llff_scene, write_scene

from mipnerf import cli
from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.views import Evaluator, load_trained
from mipnerf.training.loop import train
from mipnerf.views.renderer import read_pose, scaled

OPERATION = OperationConfig(device="cpu")


@pytest.fixture
def run(tmp_path, run_with):
    """A folder with the `model.pt` of a short training and its `data`, a scene of two levels (16x16, 8x8)."""
    folder = tmp_path / "run"
    convert_to_multiscale(write_scene(folder / "source"), folder / "data", 2)
    config = run_with(train={"precision": "float32"})
    train(config, OPERATION, load_scene(folder / "data", "train", 2, config.data), folder, threads=1)
    return folder


@pytest.fixture
def command(monkeypatch, tmp_path):
    """A function: the words after `python -m mipnerf render MODEL`; what they wrote to x.png comes back."""
    monkeypatch.chdir(tmp_path)

    def call(model, *words):
        arguments = ["mipnerf", "render", model, "--threads", "1", "--output", "x.png", *words]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        cli.main()
        return iio.imread("x.png")

    return call


def test_a_test_view_is_what_the_evaluation_rendered_to_the_last_bit(run, command, tmp_path):
    trained = load_trained(run / "model.pt", torch.device("cpu"))
    for level in (0, 1):
        scene = load_scene(run / "data", "test", 2, trained.run.data, level=level)
        Evaluator.create(trained, OPERATION, threads=1).evaluate(scene, [level], tmp_path)
        expected = [iio.imread(tmp_path / f"level_{level}" / "renderings" / f"00{view}.png") for view in (0, 1)]
        assert not np.array_equal(*expected)
        model = (run / "model.pt", "--data", run / "data")
        for view in (0, 1):
            assert np.array_equal(command(*model, "--view", view, "--level", level), expected[view])
            # Half as many pixels of full resolution are those of the next level.
            assert np.array_equal(command(*model, "--view", view, "--scale", 0.5**level), expected[view])


def test_a_scale_keeps_the_image_plane_and_narrows_the_cones(run):
    scene = load_scene(run / "data", "test", 2, load_trained(run / "model.pt", torch.device("cpu")).run.data, level=0)
    cameras = Cameras.from_scene(scene)
    view = torch.zeros(2, dtype=torch.long)

    def edges(cameras):
        """Directions of the left and right edge of the middle row, by the outermost pixels."""
        width, height = cameras.sizes[0].tolist()
        ends = torch.tensor([0, width - 1])
        rays = cameras.cast(view, ends, torch.full((2,), height // 2))
        half = cameras.pixel_to_direction[0, :, 0] / 2
        return rays, rays.directions + torch.stack([-half, half]) - cameras.pixel_to_direction[0, :, 1] * (
            (height // 2) + 0.5 - height / 2
        )

    rays, corners = edges(cameras)
    for scale in (0.25, 0.5, 2.0, 3.0):
        other, same = edges(scaled(cameras, scale))
        assert scaled(cameras, scale).sizes[0].tolist() == [16 * scale, 16 * scale]
        torch.testing.assert_close(same, corners)
        torch.testing.assert_close(other.radii, rays.radii / scale)
    # Where the number of pixels has to be rounded, the middle stays in the middle.
    odd = scaled(cameras, 0.7)
    assert odd.sizes[0].tolist() == [11, 11]
    middle = torch.tensor([5])
    torch.testing.assert_close(
        odd.cast(view[:1], middle, middle).viewdirs, -torch.as_tensor(scene.camtoworlds[:1, :, 2], dtype=torch.float32)
    )
    for scale in (0.01, 5000.0, 0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"sides may have 1 to 16384"):
            scaled(cameras, scale)


def test_an_llff_view_is_the_evaluated_one_at_every_level(tmp_path, command, run_with):
    folder = write_llff_scene(tmp_path / "fern", width=16, height=12)
    config = run_with(
        model={"ray_shape": "cylinder"},
        train={"precision": "float32"},
        data={"white_bkgd": False, "ndc_unit_viewdirs": True},
    )
    train(config, OPERATION, load_scene(folder, "train", 2, config.data), tmp_path / "run", threads=1)
    model = tmp_path / "run" / "model.pt"
    trained = load_trained(model, torch.device("cpu"))
    for level in (0, 1):
        scene = load_scene(folder, "test", 2, config.data, level=level)
        Evaluator.create(trained, OPERATION, threads=1).evaluate(scene, [level], tmp_path)
        picture = command(model, "--data", folder, "--scale", 0.5**level, "--depth", "depth.npy")
        expected = iio.imread(tmp_path / f"level_{level}" / "renderings" / "000.png")
        assert np.abs(picture.astype(int) - expected).max() <= 1
    assert ((np.load("depth.npy") >= 0) & (np.load("depth.npy") <= 1)).all()
    # Another field of view shows the same world: in NDC, the plane stays that of the data.
    wide = command(model, "--data", folder, "--width", 24, "--height", 18)
    narrow = command(model, "--data", folder)
    assert np.abs(wide[3:-4, 4:-5].astype(int) - narrow[:-1, :-1]).max() <= 1


def test_a_camera_may_be_described_in_every_way(run, command, tmp_path):
    model, data = (run / "model.pt",), ("--data", run / "data")
    scene = load_scene(run / "data", "test", 2, load_trained(*model, torch.device("cpu")).run.data, level=0)
    pose, focal = scene.camtoworlds[1], 1 / scene.pix2cams[1, 0, 0]
    expected = command(*model, *data, "--view", 1)
    np.savetxt("pose.txt", pose)
    assert np.array_equal(command(*model, *data, "--pose", "pose.txt"), expected)
    described = ["--width", 16, "--height", 16, "--focal", focal, "--near", 2, "--far", 6]
    assert np.array_equal(command(*model, "--pose", "pose.txt", *described), expected)
    assert not np.array_equal(command(*model, *data, "--pose", "pose.txt", "--far", 4), expected)
    azimuth = np.degrees(np.arctan2(pose[1, 3], pose[0, 3]))
    elevation = np.degrees(np.arcsin(pose[2, 3] / np.linalg.norm(pose[:, 3])))
    around = command(*model, *data, "--spherical", azimuth, elevation, np.linalg.norm(pose[:, 3]))
    assert np.abs(around.astype(int) - expected).max() <= 1
    path = command(*model, *data, "--path", "zoom", "--frames", 4, "--frame", 3)
    assert path.shape == (2, 2, 3)
    assert np.array_equal(path, command(*model, *data, "--scale", 0.125))
    command(*model, *data, "--depth", "depth.png")
    assert iio.imread("depth.png").shape == (16, 16, 3)


def test_what_a_camera_lacks_is_said(run, command, tmp_path):
    model, data = (run / "model.pt",), ("--data", run / "data")
    np.savetxt("pose.txt", np.eye(4))
    for words, message in {
        (): "--width --height --focal --near --far and --pose or --spherical; or name .* by --data",
        ("--pose", "pose.txt", "--width", 8): "described: --height --focal --near --far; or",
        ("--view", 0): "--view needs the data of the run",
        ("--path", "zoom"): "--path needs the data of the run",
        (*data, "--view", 7): "view 7 does not exist; the split has views 0 to 1",
        (*data, "--level", 2): "level 2 does not exist",
        (*data, "--path", "spiral"): "no path 'spiral'",
        (*data, "--path", "zoom", "--frame", 120): "frame 120 does not exist; the path has 120, counted from 0",
        (*data, "--path", "zoom", "--frames", 0): "frame 0 does not exist; the path has 0",
        (*data, "--near", 7): "near 7 must be less than far 6",
        (*data, "--near", -1): "--near must be at least 0, and --far finite",
        (*data, "--far", "inf"): "--near must be at least 0, and --far finite",
        (*data, "--scale", 0): "scale 0 makes 0 x 0 pixels",
        (*data, "--depth", "depth.jpg"): r"depth.jpg must end with .png or .npy",
        (*data, "--width", 0): "--width must be at least 1",
        (*data, "--focal", -3): "--focal must be above 0",
        (*data, "--spherical", 0, 0, 0): "RADIUS must be above 0",
        (*data, "--set", "operation.device=tpu"): "device is 'tpu'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            command(*model, *words)
    assert not (tmp_path / "x.png").exists()


def test_poses_are_read_from_text_and_json(tmp_path):
    pose = np.array([[0.0, 0, 1, 4], [1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 0, 1]])
    rows = pose.tolist()
    for text in (
        json.dumps(rows),
        json.dumps(rows[:3]),
        json.dumps({"transform_matrix": rows}),
        "\n".join(" ".join(map(str, row)) for row in rows),
        "\n".join(", ".join(map(str, row)) for row in rows[:3]) + "\n\n",
    ):
        (tmp_path / "pose").write_text(text)
        np.testing.assert_array_equal(read_pose(tmp_path / "pose"), pose[:3])
    for text, message in {
        "": "must be numbers of shape",
        "a b c": "neither JSON nor rows of numbers",
        "1 2 3": "must be numbers of shape",
        "1 2 3\n4 5": "must be numbers of shape",
        "{}": "'transform_matrix' is missing",
        "7": "must be numbers of shape",
        json.dumps(np.diag([1, 1, -1, 1]).tolist()): "left-handed",
        json.dumps(np.diag([2, 2, 2, 1]).tolist()): "perpendicular axes of unit length",
        json.dumps(np.full((4, 4), np.nan).tolist()): "finite",
    }.items():
        (tmp_path / "pose").write_text(text)
        with pytest.raises(DataError, match=message):
            read_pose(tmp_path / "pose")
