"""Where models of COLMAP and their photographs are found."""

import shutil
from dataclasses import replace

import pytest
from capture_files import make_toy, write_colmap, write_images

from mipnerf.config import DataConfig
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError

DATA = DataConfig(layout="colmap")
TOY = make_toy(views=5)
OTHER = replace(TOY, camtoworlds=TOY.camtoworlds[::-1])
PLACES = {
    "sparse/0": "images",
    "sparse": "images",
    "sparse/3": "images",
    "colmap/sparse/0": "input",
    "dense/0/sparse": "dense/0/images",
    "dense/2/sparse": "dense/2/images",
    "dense/sparse": "dense/images",
    "distorted/sparse/0": "input",
}


def first_views(count):
    return replace(TOY, names=TOY.names[:count], camtoworlds=TOY.camtoworlds[:count], images=TOY.images[:count])


def write(folder, place, images, toy=TOY, suffix=".bin"):
    write_images(toy, folder / "made")
    (folder / images).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder / "made" / "images", folder / images, dirs_exist_ok=True)
    shutil.rmtree(folder / "made")
    return write_colmap(toy, folder, suffix, place)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return load_scene(write(tmp_path_factory.mktemp("usual"), "sparse/0", "images"), "train", 1, DATA)


@pytest.mark.parametrize("place", PLACES)
def test_the_model_and_its_photographs_may_lie_where_tools_leave_them(tmp_path, expected, place):
    write(tmp_path / "captures/desk", place, PLACES[place])
    fetch_scene(tmp_path / "captures", "desk", tmp_path / "desk")
    for data in (DATA, DataConfig()):
        scene = load_scene(tmp_path / "desk", "train", 1, data)
        assert scene.fingerprint() == expected.fingerprint()
        assert scene.names == [name.replace("images", PLACES[place]) for name in expected.names]


def test_what_was_undistorted_may_be_the_scene_itself(tmp_path, expected):
    write(tmp_path / "desk", "dense/sparse", "dense/images")
    fetch_scene(tmp_path, "dense", tmp_path / "data")
    assert load_scene(tmp_path / "data", "train", 1, DATA).fingerprint() == expected.fingerprint()
    assert (tmp_path / "data/sparse/cameras.bin").exists()


def test_a_model_without_photographs_gives_way_to_one_that_has_some(tmp_path, expected):
    write(tmp_path, "dense/0/sparse", "dense/0/images")
    write_colmap(OTHER, tmp_path, place="sparse/0")
    assert load_scene(tmp_path, "train", 1, DATA).fingerprint() == expected.fingerprint()
    write_images(TOY, tmp_path)
    assert load_scene(tmp_path, "train", 1, DATA).fingerprint() != expected.fingerprint()


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_of_several_models_the_largest_is_used_and_all_are_told_once(tmp_path, expected, suffix, caplog):
    write(tmp_path, "sparse/10", "images", suffix=suffix)
    for place, count in (("sparse/0", 2), ("sparse/2", 3)):
        write_colmap(first_views(count), tmp_path, suffix, place)
    (tmp_path / f"sparse/2/images{suffix}").write_bytes(b"\1")
    write_colmap(OTHER, tmp_path, suffix, "sparse/0_old")
    for _ in range(2):
        assert load_scene(tmp_path, "train", 1, DATA).fingerprint() == expected.fingerprint()
    (message,) = [record.message for record in caplog.records]
    assert "sparse/0 (2 images), sparse/2 (0 images), sparse/10 (5 images), of which the largest is used" in message
    assert "used, sparse/10; join them by `colmap model_merger`" in message


def test_the_places_that_were_looked_at_are_told(tmp_path):
    with pytest.raises(DataError, match=r"in sparse/N, sparse, .*, distorted/sparse/N, where N is a number"):
        load_scene(tmp_path, "train", 1, DATA)
    write_colmap(TOY, tmp_path, place="dense/1/sparse")
    write_colmap(TOY, tmp_path)
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path, "train", 1, DATA)
    assert "the folder images or input for sparse/0, dense/1/images for dense/1/sparse" in str(caught.value)
