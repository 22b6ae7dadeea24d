"""Images that were scaled after their cameras were found."""

import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_colmap, write_images, write_json
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.sizes import common_factor
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError

TOY = make_toy(views=5, width=90, height=61)
WRITERS = {
    "transforms": lambda folder: write_json(folder, transforms_of(TOY)),
    "colmap": lambda folder: write_colmap(TOY, folder),
}


@pytest.fixture(params=WRITERS)
def folder(request, tmp_path):
    return WRITERS[request.param](write_images(TOY, tmp_path))


def resize(folder, *sizes):
    for i, path in enumerate(sorted((folder / "images").iterdir())):
        with Image.open(path) as image:
            image.resize(sizes[i % len(sizes)]).save(path)


@pytest.mark.parametrize(
    ("size", "factor"), [((45, 30), "0.5"), ((30, 21), "0.333333"), ((180, 122), "2"), ((60, 41), "0.666667")]
)
def test_one_common_factor_is_told_and_scales_the_cameras(folder, size, factor):
    original = load_scene(folder, "train", 1, DataConfig())
    resize(folder, size)
    told = (
        rf"image is {size[0]} x {size[1]} pixels, {factor} times the 90 x 61 of its camera.*camera_scale to {factor},"
    )
    with pytest.raises(DataError, match=told):
        load_scene(folder, "test", 1, DataConfig())
    scene = load_scene(folder, "train", 2, DataConfig(camera_scale=float(factor)))
    assert (scene.widths[0], scene.heights[0]) == tuple(side // 2 * 2 for side in size)
    # The corners of the image look where they did.
    for corner in ([0, 0], [1, 1]):
        before, after = (
            s.pix2cams[0] @ [*(np.array(corner) * sides), 1] for s, sides in ((original, (90, 61)), (scene, size))
        )
        np.testing.assert_allclose(after, before)


def test_images_of_unequal_factors_stay_refused(folder):
    resize(folder, (45, 61))
    with pytest.raises(DataError, match="image is 45 x 61 pixels, expected 90 x 61 as in the rest"):
        load_scene(folder, "train", 1, DataConfig())
    resize(folder, (45, 30), (30, 20))
    with pytest.raises(DataError, match="image is 30 x 20 pixels, expected 90 x 61 as in the rest"):
        load_scene(folder, "train", 1, DataConfig())


def test_one_image_of_another_size_does_not_ask_for_a_factor(folder):
    with Image.open(folder / "images/001.png") as image:
        image.resize((45, 30)).save(folder / "images/001.png")
    with pytest.raises(DataError, match=r"001\.png: image is 45 x 30 pixels, expected 90 x 61 as in the rest"):
        load_scene(folder, "train", 1, DataConfig())


def test_a_scale_that_is_not_that_of_the_images_is_refused(folder):
    with pytest.raises(
        DataError, match=r"is 90 x 61 pixels, expected 45 x 30\.5, which is data\.camera_scale 0\.5 times"
    ):
        load_scene(folder, "train", 1, DataConfig(camera_scale=0.5))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.booleans(), st.lists(st.tuples(*[st.integers(1000, 9000)] * 2), min_size=1, max_size=4))
def test_factors_are_found_whichever_way_sides_are_rounded(factor, is_smaller, sizes):
    stated = np.array(sizes)
    exact = stated / factor if is_smaller else stated * factor
    for rounded in (np.floor, np.round, np.ceil):
        assert common_factor(rounded(exact), stated) == (1 / factor if is_smaller else factor)
    assert common_factor(stated, stated) is None
