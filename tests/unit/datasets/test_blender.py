import math

import numpy as np
import pytest
from PIL import Image
from scene_files import ANGLE, read_transforms_file, write_scene, write_transforms

from mipnerf.datasets.blender import load_scene, read_transforms
from mipnerf.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path / "toy", width=16, height=8)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return math.atan2(np.linalg.norm(np.cross(a, b)), a @ b)


def test_load_scene_returns_pixels_and_cameras_as_written(folder):
    scene = load_scene(folder, "train")
    frames = read_transforms_file(folder, "train")["frames"]
    assert scene.names == ["train/r_0.png", "train/r_1.png", "train/r_2.png"]
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(scene.images[i], np.asarray(Image.open(folder / "train" / f"r_{i}.png")))
        assert scene.camtoworlds[i].tolist() == frame["transform_matrix"][:3]
    assert scene.levels.tolist() == [0, 0, 0]
    assert scene.lossmults.tolist() == [1, 1, 1]
    assert (scene.nears.tolist(), scene.fars.tolist()) == ([2.0] * 3, [6.0] * 3)


def test_near_and_far_can_be_chosen(folder):
    scene = load_scene(folder, "test", near=0.5, far=9.0)
    assert (scene.nears.tolist(), scene.fars.tolist()) == ([0.5] * 2, [9.0] * 2)


def test_image_edges_span_the_field_of_view(folder):
    pix2cam = load_scene(folder, "train").pix2cams[0]
    left, right = pix2cam @ [0, 4, 1], pix2cam @ [16, 4, 1]
    assert angle_between(left, right) == pytest.approx(ANGLE)
    assert pix2cam @ [8, 4, 1] == pytest.approx([0, 0, -1])


def test_cameras_look_at_the_origin_with_x_right_and_y_down_in_the_image(folder):
    scene = load_scene(folder, "train")
    for view in range(scene.num_views):
        rotation, origin = scene.camtoworlds[view, :, :3], scene.camtoworlds[view, :, 3]
        look = rotation @ scene.pix2cams[view] @ [8, 4, 1]
        assert angle_between(look, -origin) < 1e-6
        down = rotation @ scene.pix2cams[view][:, 1]
        assert down[2] < 0


def test_rgb_images_are_accepted(folder):
    for path in (folder / "train").iterdir():
        Image.open(path).convert("RGB").save(path)
    assert load_scene(folder, "train").images[2].shape == (8, 16, 3)


def test_file_path_may_carry_its_suffix(folder):
    content = read_transforms_file(folder, "train")
    content["frames"][1]["file_path"] = "train/r_1.png"
    write_transforms(folder, "train", content)
    assert read_transforms(folder, "train").names == ["train/r_0.png", "train/r_1.png", "train/r_2.png"]


def change(path: str, value: object):
    """A function that sets the entry of a transforms file at a path such as 'frames/1/file_path' to `value`."""

    def edit(content: dict) -> dict:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        item = content
        for key in parents:
            item = item[key]
        if value is KeyError:
            del item[last]
        else:
            item[last] = value
        return content

    return edit


BAD_TRANSFORMS = {
    "no angle": (change("camera_angle_x", KeyError), "'camera_angle_x' is missing"),
    "angle as text": (change("camera_angle_x", "0.69"), "'camera_angle_x' must be a number, found \"0.69\""),
    "angle NaN": (change("camera_angle_x", math.nan), "'camera_angle_x' must be finite, found NaN"),
    "angle zero": (change("camera_angle_x", 0), "between 0 and pi, found 0.0"),
    "angle in degrees": (change("camera_angle_x", 40), "between 0 and pi, found 40.0"),
    "no frames": (change("frames", KeyError), "'frames' is missing"),
    "zero frames": (change("frames", []), "'frames' is empty"),
    "frames as object": (change("frames", {}), "'frames' must be a list, found {}"),
    "frame as number": (change("frames/1", 3), "frame 1: key 'file_path' is missing; found: 3"),
    "no file_path": (change("frames/1/file_path", KeyError), "frame 1: key 'file_path' is missing"),
    "file_path as number": (change("frames/1/file_path", 7), "frame 1: 'file_path' must be a str, found 7"),
    "file_path escapes": (change("frames/1/file_path", "../toy/train/r_0"), "frame 1: 'file_path': '../toy/train/r_0"),
    "file_path absolute": (change("frames/1/file_path", "/etc/r_0"), "frame 1: 'file_path': '/etc/r_0.png' must be"),
    "file_path impossible": (change("frames/1/file_path", "\ud800" * 300), "frame 1: 'file_path': image "),
    "image missing": (change("frames/1/file_path", "./train/r_9"), "train/r_9.png' does not exist in"),
    "no matrix": (change("frames/1/transform_matrix", KeyError), "frame 1: key 'transform_matrix' is missing"),
    "matrix 3x4": (change("frames/1/transform_matrix", np.eye(4)[:3].tolist()), "frame 1: 'transform_matrix' must be"),
    "matrix ragged": (change("frames/1/transform_matrix/2", [1]), "frame 1: 'transform_matrix' must be numbers"),
    "matrix inf": (change("frames/1/transform_matrix/0/3", math.inf), "frame 1: 'transform_matrix' must be finite"),
    "matrix zero": (
        change("frames/1/transform_matrix", np.diag([0, 0, 0, 1]).tolist()),
        "frame 1: 'transform_matrix' mu",
    ),
    "last row": (change("frames/1/transform_matrix/3", [1, 0, 0, 1]), "last row 0 0 0 1"),
    "not an object": (lambda content: [content], "holds a list, expected a JSON object"),
    "not JSON": (lambda content: "{'camera_angle_x': 1}", "not valid JSON"),
}


@pytest.mark.parametrize(("edit", "message"), BAD_TRANSFORMS.values(), ids=BAD_TRANSFORMS)
def test_bad_transforms_give_one_message_naming_file_and_frame(folder, edit, message):
    write_transforms(folder, "train", edit(read_transforms_file(folder, "train")))
    with pytest.raises(DataError) as caught:
        read_transforms(folder, "train")
    assert message in str(caught.value)
    assert "transforms_train.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_transforms_file_is_named(folder):
    (folder / "transforms_val.json").unlink()
    with pytest.raises(DataError, match=r"transforms_val\.json: cannot be read \(No such file"):
        read_transforms(folder, "val")


def test_images_of_different_sizes_are_refused(folder):
    Image.new("RGBA", (16, 9)).save(folder / "train" / "r_2.png")
    with pytest.raises(DataError, match=r"train/r_2\.png: image is 16 x 9 pixels, expected 16 x 8"):
        load_scene(folder, "train")


def test_a_truncated_image_is_named(folder):
    path = folder / "train" / "r_1.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"train/r_1\.png: not a whole"):
        load_scene(folder, "train")


@pytest.mark.parametrize(("options", "views"), [({"view": 1}, [1]), ({"max_views": 2}, [0, 1]), ({}, [0, 1, 2])])
def test_views_that_are_asked_for_are_those_of_the_whole(folder, options, views):
    whole = load_scene(folder, "train")
    scene = load_scene(folder, "train", **options)
    assert scene.views.tolist() == views
    assert scene.names == [whole.names[i] for i in views]
    assert scene.fingerprint() == whole.select(views).fingerprint()


def test_views_that_are_not_asked_for_are_not_decoded(folder):
    for name in ("r_0.png", "r_2.png"):
        (folder / "train" / name).write_bytes(b"")
    assert load_scene(folder, "train", view=1).names == ["train/r_1.png"]
    with pytest.raises(ConfigError, match="view 3 does not exist; the split has views 0 to 2"):
        load_scene(folder, "train", view=3)
