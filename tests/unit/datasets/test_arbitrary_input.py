"""Whatever the files of a scene hold, reading them ends well or with one `DataError`, and takes little memory."""

import json
import math
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_files import read_transforms_file, write_llff_scene, write_scene, write_transforms

from mipnerf.config import DataConfig
from mipnerf.datasets import blender, llff, multiscale
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.images import decode_image, decode_png, image_size
from mipnerf.datasets.scene import MAX_CAMERA_BYTES, MAX_IMAGES, Scene
from mipnerf.errors import DataError

# The same cases every time, so that a failure belongs to the change that made it.
FUZZ = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def blender_scene(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("fuzz") / "blender", width=4, height=4)


@pytest.fixture(scope="module")
def multiscale_scene(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    convert_to_multiscale(write_scene(folder / "raw", width=4, height=4), folder / "multiscale", num_levels=2)
    return folder / "multiscale"


@pytest.fixture(scope="module")
def llff_scene(tmp_path_factory) -> Path:
    return write_llff_scene(tmp_path_factory.mktemp("fuzz") / "llff", views=4, width=4, height=4)


LOADERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "blender_scene": ("transforms_train.json", lambda folder: blender.load_scene(folder, "train", workers=1)),
    "multiscale_scene": ("metadata.json", lambda folder: multiscale.load_scene(folder, "train", workers=1)),
    "llff_scene": ("poses_bounds.npy", lambda folder: llff.load_scene(folder, "train", DataConfig(), workers=1)),
}


@pytest.fixture(params=LOADERS)
def scene(request) -> tuple[Path, Callable[[], object]]:
    """The file with the cameras of a good scene, which is put back afterwards, and a function that reads the scene."""
    folder = request.getfixturevalue(request.param)
    name, load = LOADERS[request.param]
    content = (folder / name).read_bytes()
    yield folder / name, lambda: load(folder)
    (folder / name).write_bytes(content)


# Bounds


def peak_of(function: Callable[[], object]) -> int:
    """Bytes that Python and NumPy took at most during a call that ends with a `DataError`."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            function()
        assert "\n" not in str(caught.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(scene):
    path, load = scene
    load()
    os.truncate(path, 1 << 30)  # takes no room on the disk
    assert peak_of(load) < 1 << 20
    with pytest.raises(
        DataError, match=rf"{path.name}: has 1,073,741,824 bytes, at most {MAX_CAMERA_BYTES:,} are read"
    ):
        load()


def test_an_image_of_more_than_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    folder = write_scene(tmp_path / "toy")
    os.truncate(folder / "train" / "r_1.png", (1 << 30) + 1)
    assert peak_of(lambda: blender.load_scene(folder, "train", workers=1)) < 1 << 20


def test_a_million_frames_are_refused_before_any_is_looked_at(blender_scene, multiscale_scene, llff_scene, tmp_path):
    count = 1_000_000
    (tmp_path / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": [0] * count}))
    (tmp_path / "metadata.json").write_text(json.dumps({"train": {"file_path": [0] * count}}))
    np.save(tmp_path / "poses_bounds.npy", np.zeros((MAX_IMAGES + 1, 17), dtype=np.float16))
    with pytest.raises(DataError, match=r"'frames' has 1,000,000 entries, at most 100,000"):
        blender.read_transforms(tmp_path, "train")
    with pytest.raises(DataError, match=r"'file_path' has 1,000,000 entries, at most 100,000"):
        multiscale.load_scene(tmp_path, "train")
    with pytest.raises(DataError, match=r"poses_bounds\.npy: the array has 100,001 entries, at most 100,000"):
        llff.load_scene(tmp_path, "train", DataConfig())


@pytest.mark.parametrize("shape", [(10**9, 17), (10**12, 17), (10**30, 17), (2**63, 17), (-1, 17)], ids=str)
def test_an_array_that_states_a_giant_shape_is_refused(llff_scene, shape):
    path = llff_scene / "poses_bounds.npy"
    content = path.read_bytes()
    with open(path, "wb") as stream, np.errstate(all="ignore"):
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
        stream.write(content[128:])
    with pytest.raises(DataError, match=r"poses_bounds\.npy: not a whole NumPy array"), np.errstate(all="ignore"):
        llff.load_scene(llff_scene, "train", DataConfig())
    path.write_bytes(content)


@pytest.mark.parametrize("side", [20_000, 100_000, 2**31 - 1])
def test_an_image_that_states_a_giant_size_is_refused(tmp_path, side):
    """The bound is Pillow's own."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    for read in (decode_png, decode_image):
        assert peak_of(lambda read=read: read(path.read_bytes(), path)) < 1 << 20
    assert peak_of(lambda: image_size(path)) < 1 << 20


# Damage


def test_a_corrupted_image_in_the_middle_is_named(blender_scene, multiscale_scene, llff_scene):
    for folder, image, load in (
        (blender_scene, "train/r_1.png", LOADERS["blender_scene"][1]),
        (multiscale_scene, "images_train/001_d1.png", LOADERS["multiscale_scene"][1]),
        (llff_scene, "images/002.png", LOADERS["llff_scene"][1]),
    ):
        content = bytearray((folder / image).read_bytes())
        content[len(content) // 2] ^= 0x55
        whole, _ = (folder / image).read_bytes(), (folder / image).write_bytes(content)
        with pytest.raises(DataError, match=rf"{Path(image).name}: not a whole, undamaged PNG"):
            load(folder)
        (folder / image).write_bytes(whole)
        load(folder)


def test_blender_images_may_have_a_large_suffix(tmp_path):
    folder = write_scene(tmp_path / "toy")
    content = read_transforms_file(folder, "train")
    (folder / "train" / "r_1.png").rename(folder / "train" / "r_1.PNG")
    content["frames"][1]["file_path"] = "./train/r_1.PNG"
    write_transforms(folder, "train", content)
    assert blender.load_scene(folder, "train").names[1] == "train/r_1.PNG"
    convert_to_multiscale(folder, tmp_path / "out")


numbers = st.one_of(
    st.integers(-3, 20),
    st.floats(),
    st.sampled_from([0, -0.0, 1e-320, 1e308, -1e39, math.nan, math.inf, 2**63, 10**400]),
)
leaves = st.one_of(
    numbers, st.none(), st.booleans(), st.text(max_size=5), st.sampled_from(["../x", "a\0b", "\ud800", "/"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def places(node: object, path: tuple = ()) -> list[tuple]:
    """The path of every value in a JSON document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def edited(document: object, path: tuple, value: object, action: str) -> object:
    """A copy of `document` in which the value at `path` is replaced, removed or repeated."""
    copy = json.loads(json.dumps(document))
    if not path:
        return value
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    if action == "replace":
        parent[path[-1]] = value
    elif action == "remove":
        del parent[path[-1]]
    elif isinstance(parent, list):
        parent.append(parent[path[-1]])
    return copy


def check_cameras(scene: Scene) -> None:
    """Fail unless all numbers of a scene that was accepted are finite, and its pixels look somewhere."""
    for values in (scene.camtoworlds, scene.pix2cams, scene.nears, scene.fars, scene.lossmults):
        assert np.isfinite(values).all()
    assert (np.linalg.det(scene.pix2cams) != 0).all()


@pytest.mark.parametrize("kind", ["blender_scene", "multiscale_scene"])
@FUZZ
@given(data=st.data())
def test_any_json_is_read_or_refused(request, kind, data):
    folder = request.getfixturevalue(kind)
    name, load = LOADERS[kind]
    path = folder / name
    content = path.read_bytes()
    document = json.loads(content)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(document)))
        document = edited(
            document, place, data.draw(values), data.draw(st.sampled_from(["replace", "remove", "repeat"]))
        )
    try:
        path.write_text(json.dumps(document))
        with suppress(DataError):
            check_cameras(load(folder))
    finally:
        path.write_bytes(content)


@FUZZ
@given(data=st.data())
def test_any_array_is_read_or_refused(llff_scene, data):
    path = llff_scene / "poses_bounds.npy"
    content = path.read_bytes()
    rows = np.load(path)
    kind = data.draw(st.sampled_from([np.float64, np.float32, np.float16, np.int16, np.complex64, bool]))
    extreme = st.floats() | st.sampled_from([0.0, 1e-320, 1e-30, 1e30, 1e39, 1e308])
    for _ in range(data.draw(st.integers(1, 4))):
        row, column = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 16))
        rows[slice(None) if data.draw(st.booleans()) else row, column] = data.draw(extreme)
    try:
        with np.errstate(all="ignore"):
            np.save(path, rows[: data.draw(st.integers(0, 4))].astype(kind))
        for spherify in (False, True):
            with suppress(DataError):
                check_cameras(llff.load_scene(llff_scene, "train", DataConfig(spherify=spherify), workers=1))
    finally:
        path.write_bytes(content)


@FUZZ
@given(st.binary(max_size=300), st.sampled_from(sorted(LOADERS)))
def test_any_bytes_are_refused(request, content, kind):
    folder = request.getfixturevalue(kind)
    name, load = LOADERS[kind]
    whole = (folder / name).read_bytes()
    try:
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            load(folder)
    finally:
        (folder / name).write_bytes(whole)
