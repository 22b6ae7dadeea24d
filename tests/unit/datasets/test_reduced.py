"""Folders of reduced images beside those of captures: used where they are right, told of where they are not."""

import logging
import re
import shutil

import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_colmap, write_images, write_json
from PIL import Image

from mipnerf import console
from mipnerf.config import DataConfig
from mipnerf.datasets.captures.reduced import find_reduced
from mipnerf.datasets.load import load_scene

FACTOR = 4
DATA = DataConfig(factor=FACTOR)


@pytest.fixture(autouse=True)
def _each_warning_anew():
    console._warn.cache_clear()


def write_capture(layout, folder, width=24, height=16, place="images"):
    toy = make_toy(views=5, width=width, height=height)
    write_images(toy, folder)
    if place != "images":
        (folder / place).parent.mkdir(parents=True)
        shutil.move(folder / "images", folder / place)
    if layout == "transforms":
        return write_json(folder, transforms_of(toy))
    return write_colmap(toy, folder, place="dense/0/sparse" if place != "images" else "sparse/0")


def reduce_all(folder, width, height, suffix=".png", source="images", change=lambda image: image):
    target = folder / f"{source}_{FACTOR}"
    target.mkdir()
    for path in sorted((folder / source).iterdir()):
        small = Image.open(path).resize((width, height), Image.Resampling.BOX)
        change(small).save(target / path.with_suffix(suffix).name)
    return target


@pytest.mark.parametrize(
    ("layout", "place"), [("transforms", "images"), ("colmap", "images"), ("colmap", "dense/0/images")]
)
def test_reduced_images_are_read_as_they_are(layout, place, tmp_path, caplog):
    folder = write_capture(layout, tmp_path / "desk", place=place)
    whole = load_scene(folder, "train", 2, DATA)
    target = reduce_all(folder, 6, 4, source=place)
    Image.new("RGB", (24, 16)).save(folder / place / "003.png")  # the large one is not looked at
    with caplog.at_level(logging.WARNING):
        scene = load_scene(folder, "train", 2, DATA)
    assert caplog.records == []
    assert scene.names[0] == f"{place}_4/001.png"
    assert scene.max_value == 255
    np.testing.assert_array_equal(scene.images[0], np.asarray(Image.open(target / "001.png")))
    np.testing.assert_allclose(scene.images[0] / 255, whole.images[0] / whole.max_value, atol=1.1 / 255)
    np.testing.assert_allclose(scene.pix2cams, whole.pix2cams, rtol=1e-12)
    assert (scene.images[4] > 0).any()


def test_sizes_that_were_rounded_have_the_ratio_of_their_own(tmp_path):
    folder = write_capture("transforms", tmp_path / "desk", width=23, height=17)
    reduce_all(folder, 6, 4, suffix=".tif")
    scene = load_scene(folder, "train", 1, DATA)
    assert scene.names[0] == "images_4/001.tif"
    middle = [3.0, 2.0, 1.0]
    plain = load_scene(folder, "train", 1, DataConfig())
    np.testing.assert_allclose(scene.pix2cams[0] @ middle, plain.pix2cams[0] @ [11.5, 8.5, 1.0], rtol=1e-12)


def other_size(folder):
    reduce_all(folder, 5, 4)


def other_pictures(folder):
    reduce_all(folder, 6, 4, change=lambda image: image.transpose(Image.Transpose.ROTATE_180))


def one_missing(folder):
    (reduce_all(folder, 6, 4) / "002.png").unlink()


def one_damaged(folder):
    (reduce_all(folder, 6, 4) / "002.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_size, r"images_4/000.png: image is 5 x 4 pixels, which is not 24 x 16 over 4"),
        (other_pictures, r"images_4/000.png: the image differs from .*images/000.png by \d+ of 255"),
        (one_missing, r"images_4/002.png: the image is missing"),
        (one_damaged, r"images_4/002.png: .* but an empty file"),
    ],
)
def test_other_folders_are_told_of_once_and_left_alone(spoil, message, tmp_path, caplog):
    folder = write_capture("transforms", tmp_path / "desk")
    expected = load_scene(folder, "train", 1, DATA).fingerprint()
    spoil(folder)
    with caplog.at_level(logging.WARNING):
        scenes = [load_scene(folder, split, 1, DATA) for split in ("train", "test")]
    assert scenes[0].fingerprint() == expected
    (record,) = caplog.records
    assert record.getMessage().endswith("; images are read at their full size, and made smaller")
    assert record.name == find_reduced.__module__
    assert re.search(message, record.getMessage())


def test_without_a_folder_nothing_is_said(tmp_path, caplog):
    folder = write_capture("colmap", tmp_path / "desk")
    with caplog.at_level(logging.WARNING):
        assert load_scene(folder, "train", 1, DATA).max_value == 255 * FACTOR**2
    assert caplog.records == []


def test_masks_go_with_reduced_images(tmp_path):
    folder = write_capture("transforms", tmp_path / "desk")
    mask = np.full((16, 24), 255, np.uint8)
    mask[:, :5] = 0
    (folder / "masks").mkdir()
    Image.fromarray(mask).save(folder / "masks" / "001.png")
    Image.fromarray(mask).resize((6, 4), Image.Resampling.BOX).save(folder / "masks" / "002.png")
    reduce_all(folder, 6, 4)
    scene = load_scene(folder, "train", 1, DATA)
    assert scene.masks[0].tolist() == [[False, False, True, True, True, True]] * 4
    assert scene.masks[1].tolist() == [[False, True, True, True, True, True]] * 4
