import copy
import json
import math
from contextlib import suppress

import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_images, write_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.photographs import load_photographs
from mipnerf.datasets.captures.transforms import read_photographs
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError

DATA = DataConfig(layout="transforms")
TOY = make_toy(views=6)
CONTENT = transforms_of(TOY)


@pytest.fixture
def folder(tmp_path):
    """Images of all views, without a file of cameras."""
    return write_images(TOY, tmp_path / "desk")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """As `folder`; what is written there is replaced by the next test."""
    return write_images(TOY, tmp_path_factory.mktemp("transforms"))


def content_with(camera: dict | None = None, frame: dict | None = None, without: str = "", index: int = 2) -> dict:
    """The toy's file with other values of its camera and of one frame, and some keys left out."""
    content = {key: value for key, value in copy.deepcopy(CONTENT).items() if key not in without.split()}
    content["frames"][index] |= frame or {}
    return content | (camera or {})


def intrinsics_of(folder, content) -> list[list[float]]:
    return read_photographs(write_json(folder, content), DATA).intrinsics.tolist()


def test_values_of_a_frame_win_over_those_of_the_file(folder):
    fx, fy, cx, cy = TOY.intrinsics
    found = intrinsics_of(folder, content_with(frame={"fl_x": 31.0, "cy": 4.0}))
    assert found[1] == [fx, fy, cx, cy]
    assert found[2] == [31.0, fy, cx, 4.0]
    # Also where they say it in another way.
    found = intrinsics_of(folder, content_with(frame={"camera_angle_x": math.pi / 2}))
    assert found[2] == [pytest.approx(11), fy, cx, cy]


@pytest.mark.parametrize(
    ("without", "camera", "expected"),
    [
        ("fl_y", {}, [27.5, 27.5, 11.75, 6.0]),
        ("fl_x", {}, [33.0, 33.0, 11.75, 6.0]),
        ("cx cy", {}, [27.5, 33.0, 11.0, 6.5]),
        ("fl_x fl_y w h", {"camera_angle_x": math.pi / 2}, [11, 11, 11.75, 6.0]),
        ("fl_x fl_y", {"camera_angle_x": math.pi / 2, "camera_angle_y": math.pi / 3}, [11, 6.5 * 3**0.5, 11.75, 6.0]),
        ("fl_x fl_y", {"camera_angle_y": math.pi / 2}, [6.5, 6.5, 11.75, 6.0]),
        ("w h cx cy", {}, [27.5, 33.0, 11.0, 6.5]),
        ("h", {"w": 22.0}, [27.5, 33.0, 11.75, 6.0]),
    ],
)
def test_what_is_missing_follows_from_the_rest(folder, without, camera, expected):
    assert intrinsics_of(folder, content_with(camera, without=without))[0] == pytest.approx(expected)


def test_each_photograph_may_have_its_own_size(folder):
    Image.new("RGB", (30, 17)).save(folder / "images/002.png")
    write_json(folder, content_with(frame={"w": 30, "h": 17, "cx": 15, "cy": 8}))
    scene = load_scene(folder, "train", 2, DATA)
    assert scene.widths.tolist() == [22, 11, 30, 15] + [22, 11] * 3
    assert scene.heights.tolist() == [12, 6, 16, 8] + [12, 6] * 3
    np.testing.assert_allclose(scene.pix2cams[2] @ [15, 8, 1], [0, 0, -1])


def test_names_may_lack_their_suffix_and_begin_with_a_dot(folder):
    Image.open(folder / "images/001.png").save(folder / "images/frame.01.jpg")
    names = ["./images/000", "images/frame.01", "images/002.png", "./images/003.png", "images/004", "images/005"]
    scene = load_scene(write_json(folder, CONTENT | {"frames": named(names)}), "train", 1, DataConfig(llffhold=100))
    assert scene.names == [f"images/{name}" for name in ("002.png", "003.png", "004.png", "005.png", "frame.01.jpg")]


def named(names: list[str]) -> list[dict]:
    return [frame | {"file_path": name} for frame, name in zip(CONTENT["frames"], names, strict=True)]


def test_held_out_views_follow_the_names_not_the_order_of_the_file(folder):
    write_json(folder, CONTENT | {"frames": CONTENT["frames"][::-1]})
    data = DataConfig(llffhold=4)
    assert load_scene(folder, "test", 1, data).names == ["images/000.png", "images/004.png"]
    np.testing.assert_array_equal(read_photographs(folder, data).camtoworlds, TOY.camtoworlds[:, :3])


@pytest.mark.parametrize(
    ("lists", "val", "test"),
    [
        ({"val": [1], "test": [4, 2]}, [1], [2, 4]),
        ({"val": [1]}, [1], [1]),
        ({"test": [1], "val": []}, [1], [1]),
        ({"val": [1, 2], "test": [2]}, [1, 2], [2]),
    ],
    ids=str,
)
def test_splits_are_those_of_nerfstudios_lists(folder, lists, val, test):
    lists = {f"{split}_filenames": [f"./images/{i:03d}.png" for i in views] for split, views in lists.items()}
    write_json(folder, CONTENT | lists | {"train_filenames": ["images/005.png", "images/000.png"]})
    splits = read_photographs(folder, DATA).splits
    assert {split: indices.tolist() for split, indices in splits.items()} == {"train": [0, 5], "val": val, "test": test}


def test_splits_are_those_of_the_files(folder):
    parts = {"train": [3, 1, 0], "test": [5, 4]}
    for split, views in parts.items():
        write_json(folder, CONTENT | {"frames": [CONTENT["frames"][i] for i in views]}, f"transforms_{split}.json")
    write_json(folder, "another file is not read")
    for split, views in (parts | {"val": parts["test"]}).items():
        assert load_scene(folder, split, 1, DATA).names == [f"images/{i:03d}.png" for i in views]
    # All cameras of all files are placed together.
    positions = [load_scene(folder, split, 1, DATA).camtoworlds[:, :, 3] for split in parts]
    assert np.linalg.norm(np.concatenate(positions), axis=1).mean() == pytest.approx(4)
    write_json(folder, CONTENT | {"frames": CONTENT["frames"][2:3]}, "transforms_val.json")
    assert load_scene(folder, "val", 1, DATA).names == ["images/002.png"]


def test_what_others_do_with_the_poses_is_ignored(folder):
    plain = load_scene(write_json(folder, CONTENT), "train", 1, DATA).fingerprint()
    extras = {
        "applied_transform": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]],
        "applied_scale": 3.0,
        "orientation_override": "up",
        "auto_scale_poses_override": False,
        "aabb_scale": 16,
        "scale": 0.5,
        "offset": [0.5, 0.5, 0.5],
        "ply_file_path": "points.ply",
    }
    zeros = {"camera_model": "OPENCV", "k1": 0, "k2": 1e-9, "p1": -1e-7, "k4": 0.0, "is_fisheye": False}
    frame = {"sharpness": 20.0, "depth_file_path": "depth.png", "colmap_im_id": 3}
    assert load_scene(write_json(folder, content_with(extras | zeros, frame)), "train", 1, DATA).fingerprint() == plain


def test_a_pose_may_lack_its_last_row(folder):
    plain = read_photographs(write_json(folder, CONTENT), DATA).camtoworlds
    write_json(folder, content_with(frame={"transform_matrix": TOY.camtoworlds[2][:3].tolist()}))
    assert np.array_equal(read_photographs(folder, DATA).camtoworlds, plain)


@pytest.mark.parametrize(
    "stated",
    [
        "images\\002.png",
        "C:\\Users\\me\\desk\\images\\002.png",
        "D:images\\002.png",
        "/home/me/desk/images/002.png",
        "../desk/images/002.png",
        "../../images/002",
        "desk/../images/002.png",
    ],
)
def test_a_path_of_another_machine_is_found_by_its_end(folder, stated):
    write_json(folder, content_with(frame={"file_path": stated}))
    assert read_photographs(folder, DATA).names == [f"images/{name}" for name in TOY.names]


def test_a_path_never_leaves_the_capture(folder):
    (folder.parent / "elsewhere.png").write_bytes((folder / "images/002.png").read_bytes())
    for stated in ("../elsewhere.png", str(folder.parent / "elsewhere.png")):
        write_json(folder, content_with(frame={"file_path": stated}))
        with pytest.raises(DataError, match=r"elsewhere\.png' does not exist in"):
            read_photographs(folder, DATA)


@pytest.mark.parametrize("scale", [1.03, 0.96])
def test_rotations_that_are_slightly_off_become_the_nearest_and_that_is_said(folder, scale, caplog):
    skewed = TOY.camtoworlds[2].copy()
    skewed[:3, :3] *= scale
    skewed[:3, 0] += 0.004
    write_json(folder, content_with(frame={"transform_matrix": skewed.tolist()}))
    found = read_photographs(folder, DATA).camtoworlds[:, :, :3]
    np.testing.assert_allclose(found @ np.swapaxes(found, 1, 2), np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
    np.testing.assert_allclose(found[2], TOY.camtoworlds[2, :3, :3], atol=0.01)
    assert np.array_equal(np.delete(found, 2, 0), np.delete(TOY.camtoworlds, 2, 0)[:, :3, :3])
    (message,) = [record.message for record in caplog.records]
    assert "rotations are off by up to" in message


def test_lists_may_name_images_that_are_left_out(folder):
    names = [f"images/{name}" for name in TOY.names]
    write_json(folder, content_with({"train_filenames": names[1:], "test_filenames": names[:1]}))
    (folder / names[3]).unlink()
    splits = read_photographs(folder, DataConfig(missing_images="skip")).splits
    assert [len(splits[split]) for split in ("train", "val", "test")] == [len(names) - 2, 1, 1]


def pose_with(edit) -> dict:
    matrix = TOY.camtoworlds[2].copy()
    edit(matrix)
    return {"transform_matrix": matrix.tolist()}


def negated(matrix):
    matrix[:3, 1] *= -1


def stretched(matrix):
    matrix[:3, :3] *= 1.5


def emptied(matrix):
    matrix[:3, :3] = 0


BAD_CONTENTS = {
    "no JSON": ("{", "not valid JSON"),
    "a list": ("[]", "holds a list, expected a JSON object"),
    "no frames": ({"fl_x": 3}, "key 'frames' is missing"),
    "empty frames": (CONTENT | {"frames": []}, "'frames' is empty"),
    "a number for a frame": (CONTENT | {"frames": [3]}, "frame 0: key 'file_path' is missing; found: 3"),
    "no pose": (CONTENT | {"frames": [{"file_path": "images/000.png"}]}, "key 'transform_matrix' is missing"),
    "missing image": (
        content_with(frame={"file_path": "images/7"}),
        "frame 2: 'file_path': image 'images/7' does not",
    ),
    "outside": (
        content_with(frame={"file_path": "../x.png"}),
        "frame 2: 'file_path': image '../x.png' does not",
    ),
    "absolute": (content_with(frame={"file_path": "/x.png"}), "frame 2: 'file_path': image '/x.png' does not"),
    "nowhere": (content_with(frame={"file_path": ".."}), "frame 2: 'file_path': image '..' does not"),
    "empty name": (content_with(frame={"file_path": ""}), "must be a path inside the scene folder"),
    "NaN pose": (content_with(frame=pose_with(lambda m: m.fill(math.nan))), "frame 2: 'transform_matrix' must be fin"),
    "huge pose": (content_with(frame={"transform_matrix": [[1e300] * 4] * 4}), "must be finite in 32 bits"),
    "2 x 4": (content_with(frame={"transform_matrix": np.eye(4)[:2].tolist()}), "must be numbers of shape [4, 4]"),
    "singular pose": (content_with(frame=pose_with(emptied)), "frame 2: 'transform_matrix' must be an invertible"),
    "left-handed pose": (content_with(frame=pose_with(negated)), "frame 2: 'transform_matrix' must be a rotation, not"),
    "scaled pose": (content_with(frame=pose_with(stretched)), "frame 2: 'transform_matrix' must have perpendicular"),
    "focal 0": (content_with(frame={"fl_x": 0}), "frame 2: 'fl_x' must be above 0, found 0"),
    "tiny focal": (content_with({"fl_y": 1e-300}), "frame 0: 'fl_x' and 'fl_y' must be above 0 and finite"),
    "no focal": (content_with(without="fl_x fl_y"), "frame 0: no focal length: 'fl_x' (pixels) or 'camera_angle_x'"),
    "wide angle": (content_with({"camera_angle_x": 4.0}, without="fl_x"), "between 0 and pi, found 4.0"),
    "text": (content_with({"cx": "12"}), "frame 0: 'cx' must be a number, found \"12\""),
    "width 0": (content_with({"w": 0}), "'w' and 'h' must be whole numbers above 0, found 0 and 13"),
    "half a pixel": (content_with({"h": 12.5}), "whole numbers above 0, found 22 and 12.5"),
    "principal point": (content_with({"cx": 1e300}), "'cx' and 'cy' must be finite"),
    "twice": (CONTENT | {"frames": CONTENT["frames"] + CONTENT["frames"][:1]}, "'images/000.png' is a view both of"),
    "unknown name": (content_with({"train_filenames": ["images/9.png"]}), "'train_filenames' has 'images/9.png', whi"),
    "names are numbers": (content_with({"test_filenames": [3]}), "'test_filenames' has 3, which is the 'file_path'"),
    "in both lists": (
        content_with({"train_filenames": ["images/001.png"], "test_filenames": ["images/001.png"]}),
        "'images/001.png' is a view both of train and of val; leave it in one",
    ),
    "no test list": (content_with({"train_filenames": ["images/001.png"]}), "'test_filenames' is missing"),
    "unknown lens": (content_with({"camera_model": "EQUIRECTANGULAR"}), "'camera_model' is 'EQUIRECTANGULAR'; supp"),
    "lens is a number": (content_with({"camera_model": 4}), "'camera_model' is 4; supported are PINHOLE"),
    "lens flag": (content_with({"latlong": True}), "'latlong' is set; supported are PINHOLE"),
    "foreign coefficient": (content_with({"is_fisheye": True, "p2": 0.1}), "'p2' is 0.1, but a camera OPENCV_FISHEYE"),
    "coefficient": (content_with(frame={"k1": 1e9}), "frame 2: the coefficient k1 of its lens must be finite"),
    "coefficient is a word": (content_with(frame={"k1": "no"}), "frame 2: 'k1' must be a number"),
    "omega": (content_with({"camera_model": "FOV", "omega": 4}), "omega must be an angle in radians from 0 to pi"),
    "no mask": (
        content_with(frame={"mask_path": "masks/0.png"}),
        "2: 'mask_path': mask 'masks/0.png' does not",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD_CONTENTS.values(), ids=BAD_CONTENTS)
def test_a_bad_file_gives_one_message_naming_the_place(folder, content, message):
    write_json(folder, content)
    with pytest.raises(DataError) as caught:
        read_photographs(folder, DATA)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["unknown lens", "lens flag"])
def test_the_message_about_other_lenses_says_how_to_undistort(folder, name):
    with pytest.raises(DataError, match=r"undistort the images, as `colmap image_undistorter .*` does.*layout colmap"):
        read_photographs(write_json(folder, BAD_CONTENTS[name][0]), DATA)


def test_split_files_need_views_that_are_not_trained_on(folder):
    write_json(folder, CONTENT, "transforms_train.json")
    with pytest.raises(DataError, match=r"transforms_val\.json or transforms_test\.json is missing"):
        read_photographs(folder, DATA)
    write_json(folder, CONTENT, "transforms_test.json")
    with pytest.raises(DataError, match=r"'images/000\.png' is a view both of train and of val"):
        read_photographs(folder, DATA)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.floats(), max_size=5),
    st.just({}),
    st.just([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    st.sampled_from(["images/000", "images/001.png", "images", "\ud800", "a\0b", "OPENCV", 1e-300, 5e-324, 1e308]),
)
KEYS = ["fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y", "k1", "camera_model", "is_fisheye"]
KEYS += ["frames", "train_filenames"]
FRAME_KEYS = ["file_path", "transform_matrix", "fl_x", "cx", "w", "p1", "camera_angle_y", "mask_path"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(KEYS), values, max_size=2),
    st.dictionaries(st.sampled_from(FRAME_KEYS), values, max_size=2),
    st.sets(st.sampled_from(list(CONTENT)), max_size=2),
    st.booleans(),
)
def test_any_values_are_read_or_give_one_message(shared, camera, frame, without, normalize):
    content = content_with(frame=frame)
    content = {key: value for key, value in content.items() if key not in without} | camera
    try:
        text = json.dumps(content)
    except ValueError:
        return
    read_or_refused(write_json(shared, text), DataConfig(normalize=normalize))


def read_or_refused(folder, data) -> None:
    """Loads a view, whose cameras have to be usable, unless one message says why not."""
    with suppress(DataError, ConfigError):
        scene = load_photographs(read_photographs(folder, data), "train", data, view=0)
        for values in (scene.camtoworlds, scene.pix2cams, scene.nears, scene.fars):
            assert np.isfinite(values.astype(np.float32)).all()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 400))
def test_any_damage_of_the_file_is_read_or_gives_one_message(shared, changes, cut):
    damaged = bytearray(json.dumps(CONTENT).encode())
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    (shared / "transforms.json").write_bytes(damaged[: len(damaged) - cut])
    read_or_refused(shared, DATA)
