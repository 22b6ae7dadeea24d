import struct
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from capture_files import make_toy, world_to_camera, write_colmap, write_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.colmap import camera_to_world, read_photographs
from mipnerf.datasets.captures.photographs import load_photographs
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError

DATA = DataConfig(layout="colmap")
TOY = make_toy(views=5)
FILES = ("cameras", "images", "points3D")


@pytest.fixture(params=[".bin", ".txt"])
def suffix(request):
    return request.param


@pytest.fixture
def folder(tmp_path, suffix):
    return write_colmap(TOY, write_images(TOY, tmp_path / "desk"), suffix)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A capture in each form; a test that changes one puts it back."""
    top = tmp_path_factory.mktemp("colmap")
    return {form: write_colmap(TOY, write_images(TOY, top / form[1:]), form) for form in (".bin", ".txt")}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.lists(st.floats(-9, 9), min_size=3, max_size=3))
def test_a_pose_turns_colmaps_world_to_camera_round(quaternion, translation):
    if np.linalg.norm(quaternion) < 1e-3:
        return
    pose = camera_to_world(tuple(quaternion), tuple(translation))
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    # What COLMAP sees at (x, y, z), y down and z ahead, is at (x, -y, -z) in OpenGL.
    world = pose @ [0.5, -0.25, -3, 1]
    w, *v = np.array(quaternion) / np.linalg.norm(quaternion)
    turned = world[:3] + 2 * np.cross(v, np.cross(v, world[:3]) + w * world[:3])
    np.testing.assert_allclose(turned + translation, [0.5, 0.25, 3], atol=1e-9)
    again = camera_to_world(*world_to_camera(pose))
    np.testing.assert_allclose(again, pose, atol=1e-9)


def test_text_and_binary_are_the_same_scene(folders):
    for data in (DATA, DataConfig(normalize=False)):
        scenes = [load_scene(folder, "train", 2, data) for folder in folders.values()]
        assert scenes[0].fingerprint() == scenes[1].fingerprint()
        assert scenes[0].names == scenes[1].names


def test_binary_comes_before_text(folder, suffix):
    write_colmap(replace(TOY, camtoworlds=TOY.camtoworlds[::-1]), folder, {".bin": ".txt", ".txt": ".bin"}[suffix])
    first = TOY.camtoworlds[0 if suffix == ".bin" else -1]
    np.testing.assert_allclose(read_photographs(folder, DATA).camtoworlds[0], first[:3], atol=1e-12)


def test_a_simple_pinhole_has_square_pixels(tmp_path, suffix):
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"), suffix, model="SIMPLE_PINHOLE")
    fx, _, cx, cy = TOY.intrinsics
    assert read_photographs(folder, DATA).intrinsics[0].tolist() == [fx, fx, cx, cy]


def test_photographs_may_lie_in_folders_and_have_spaces_in_their_names(tmp_path, suffix):
    toy = replace(TOY, names=[f"left camera/no {i}.png" for i in range(5)])
    (tmp_path / "desk" / "images" / "left camera").mkdir(parents=True)
    folder = write_colmap(toy, write_images(toy, tmp_path / "desk"), suffix)
    (folder / "images" / "not registered.png").write_bytes(b"")
    assert load_scene(folder, "test", 1, DATA).names == ["images/left camera/no 0.png"]


def test_one_point_far_off_moves_no_bound(tmp_path):
    rng = np.random.default_rng(1)
    points = np.array([1, 2, 0.5]) + rng.uniform(-0.5, 0.5, (2000, 3))
    near = []
    for name, extra in {"clean": [], "stray": [[1e6, 0, 0]], "behind": [[1e200, 1e200, 1e200]]}.items():
        toy = replace(TOY, points=np.concatenate([points, np.reshape(extra, (-1, 3))]))
        scene = load_scene(write_colmap(toy, write_images(toy, tmp_path / name)), "train", 1, DATA)
        near.append((scene.nears[0], scene.fars[0]))
    np.testing.assert_allclose(near, near[:1] * 3, rtol=0.02)


def test_images_that_were_taken_out_of_the_model_do_not_matter(tmp_path):
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"), ".txt")
    path = folder / "sparse/0/images.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2] + lines[4:]) + "\n")
    scene = load_scene(folder, "train", 1, DATA)
    assert scene.names == ["images/001.png", "images/002.png", "images/003.png"]
    assert 0 < scene.nears[0] < scene.fars[0]


def edited(name, old, new):
    def edit(folder):
        path = folder / "sparse/0" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def without(name):
    return lambda folder: (folder / name).unlink()


BAD_TEXTS = {
    "no images": (without("sparse/0/images.txt"), "holds no COLMAP model: expected cameras and images, both .bin or"),
    "division": (edited("cameras.txt", "PINHOLE", "DIVISION"), "camera 5: its model is DIVISION; supported are SIMPLE"),
    "unknown": (edited("cameras.txt", "PINHOLE", "GLASS"), "undistort the images, as `colmap image_undistor"),
    "no coefficients": (edited("cameras.txt", "PINHOLE", "OPENCV"), "4 parameters, a OPENCV has 8"),
    "parameters": (edited("cameras.txt", "PINHOLE", "SIMPLE_PINHOLE"), "4 parameters, a SIMPLE_PINHOLE has 3"),
    "focal 0": (edited("cameras.txt", "27.5", "0"), "camera 5: the focal lengths must be above 0 and finite, found 0"),
    "width": (edited("cameras.txt", "22 13", "0 13"), "camera 5: width and height must be whole numbers above 0"),
    "words": (edited("cameras.txt", "22 13", "22 wide"), "cameras.txt: line 2 is damaged or of another form"),
    "camera twice": (
        lambda folder: (folder / "sparse/0/cameras.txt").write_text("5 PINHOLE 9 9 9 9 5 5\n" * 2),
        "camera 5: the number 5 occurs twice",
    ),
    "other camera": (edited("images.txt", " 5 004.png", " 6 004.png"), "image '004.png': its camera 6 is not in"),
    "no name": (edited("images.txt", " 5 004.png", " 5"), "images.txt: line 3 is damaged or of another form"),
    "image gone": (without("images/003.png"), "image '003.png' does not exist in"),
    "image outside": (edited("images.txt", " 5 004.png", " 5 ../4.png"), "must be a path inside the scene folder"),
    "image twice": (edited("images.txt", " 5 001.png", " 5 000.png"), "'images/000.png' is a view both of"),
    "no number": (edited("images.txt", " 5 004.png", " 5 \0.png"), "must be a path inside the scene folder"),
    "only comments": (lambda folder: (folder / "sparse/0/images.txt").write_text("# none\n"), "holds no image"),
    "no text": (lambda folder: (folder / "sparse/0/images.txt").write_bytes(b"\xff"), "images.txt: damaged: no text"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_model_gives_one_message_naming_the_place(tmp_path, name):
    edit, message = BAD_TEXTS[name]
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"), ".txt")
    edit(folder)
    with pytest.raises(DataError) as caught:
        load_scene(folder, "train", 1, DATA)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (1e300, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("form", ["text", "binary"])
def test_a_pose_that_is_none_is_named(tmp_path, quaternion, form):
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"), {"text": ".txt", "binary": ".bin"}[form])
    if form == "text":
        path = folder / "sparse/0/images.txt"
        words = path.read_text().splitlines()
        row = words[2].split()
        words[2] = " ".join([row[0], *map(str, quaternion), *row[5:]])
        path.write_text("\n".join(words) + "\n")
    else:
        path = folder / "sparse/0/images.bin"
        data = bytearray(path.read_bytes())
        struct.pack_into("<4d", data, 8 + 4, *quaternion)
        path.write_bytes(data)
    with pytest.raises(DataError, match=r"image '004\.png': the pose must be finite, with a quaternion that is not 0"):
        load_scene(folder, "train", 1, DATA)


@pytest.mark.parametrize(("number", "name"), [(13, "DIVISION"), (17, "EQUIRECTANGULAR"), (99, "99")])
def test_binary_cameras_of_other_models_are_named(tmp_path, number, name):
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"))
    path = folder / "sparse/0/cameras.bin"
    path.write_bytes(struct.pack("<Qii2Q8d", 1, 5, number, 22, 13, *[1.0] * 8))
    with pytest.raises(DataError, match=f"camera 5: its model is .*{name}; supported are SIMPLE_PINHOLE"):
        load_scene(folder, "train", 1, DATA)


@pytest.mark.slow
def test_a_file_that_ends_anywhere_is_named(folders):
    folder = folders[".bin"]
    for name in FILES:
        path = folder / "sparse/0" / f"{name}.bin"
        whole = path.read_bytes()
        try:
            for length in [*range(0, min(len(whole), 200)), *range(200, len(whole), 13), len(whole) - 1]:
                path.write_bytes(whole[:length])
                with pytest.raises(DataError, match=rf"{name}\.bin: damaged"):
                    load_scene(folder, "test", 1, DATA)
            path.write_bytes(whole + b"\0")
            with pytest.raises(DataError, match=rf"{name}\.bin: damaged: 1 bytes after the last"):
                load_scene(folder, "test", 1, DATA)
        finally:
            path.write_bytes(whole)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".bin", ".txt"]),
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 10**9), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3),
    st.integers(0, 40),
)
def test_any_damage_is_read_or_gives_one_message(folders, form, name, changes, cut):
    folder, path = folders[form], folders[form] / "sparse/0" / f"{name}{form}"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for position, content in changes:
        start = position % len(damaged)
        damaged[start : start + len(content)] = content
    try:
        path.write_bytes(damaged[: len(damaged) - cut])
        with suppress(DataError, ConfigError):
            scene = load_photographs(read_photographs(folder, DATA), "train", DATA, view=0)
            for values in (scene.camtoworlds, scene.pix2cams, scene.nears, scene.fars):
                assert np.isfinite(values.astype(np.float32)).all()
    finally:
        path.write_bytes(whole)


def test_a_scene_without_points_in_a_track_is_read(tmp_path):
    folder = write_colmap(TOY, write_images(TOY, tmp_path / "desk"))
    data = struct.pack("<Q", 1) + struct.pack("<Q3d3BdQ", 0, 1, 2, 0.5, 1, 2, 3, 0.5, 0)
    (folder / "sparse/0/points3D.bin").write_bytes(data)
    scene = load_scene(folder, "train", 1, DATA)
    assert (scene.nears[0], scene.fars[0]) == (pytest.approx(2), pytest.approx(6))
