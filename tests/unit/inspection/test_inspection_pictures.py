"""What an inspection draws: small copies, the contact sheet, the cameras."""

from dataclasses import replace

import numpy as np
import pytest
from inspected_scenes import HEIGHT, WIDTH, forward, ring, splits_of, texts

from mipnerf.inspection.contact import choose_views, plot_contact_sheet, pyramid
from mipnerf.inspection.frusta import plot_cameras
from mipnerf.inspection.images import THUMBNAIL, summarise_split


def test_small_copies_show_every_level_at_its_size():
    split = summarise_split("train", ring(2, levels=3))
    assert [copy.shape for copy in split.thumbnails[1]] == [(107, THUMBNAIL, 3), (53, 80, 3), (27, 40, 3)]
    image = pyramid(split.thumbnails[1])
    assert image.shape == (107, 160 + 3 + 80, 3)
    np.testing.assert_array_equal(image[:107, :160], split.thumbnails[1][0])
    np.testing.assert_array_equal(image[56:83, 163:203], split.thumbnails[1][2])
    assert pyramid(split.thumbnails[0][:1]).shape == (107, THUMBNAIL, 3)


def test_reduced_images_look_like_whole_ones():
    scene = ring(2, levels=1, channels=3)
    flat = replace(scene, images=[np.full_like(image, 60) for image in scene.images])
    split, reduced = summarise_split("train", flat), summarise_split("train", flat.downsampled(4))
    assert (reduced.facts["max_value"], reduced.facts["alpha"], reduced.facts["transparent"]) == (255 * 16, False, None)
    assert set(split.thumbnails[0][0].flat) == set(reduced.thumbnails[0][0].flat) == {60}
    assert split.brightness == pytest.approx(reduced.brightness)


def test_transparent_pixels_are_white_and_count_for_nothing():
    scene = ring(2, levels=1)
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[:4] = [200, 100, 0, 255]
    split = summarise_split("train", replace(scene, images=[image, image]))
    assert split.brightness == pytest.approx(300 / 3 / 255)
    assert split.facts["transparent"] == pytest.approx(1 - 4 / HEIGHT)
    assert split.thumbnails[0][0][-1, -1].tolist() == [255] * 3


def test_flagged_views_are_always_shown():
    split = summarise_split("train", ring(40, levels=1))
    assert len(choose_views(split, set())) == 24
    assert {13, 37} < set(choose_views(split, {13, 37}))
    assert len(choose_views(split, {13, 37})) == 24
    assert choose_views(summarise_split("val", ring(3, levels=1)), set()) == [0, 1, 2]


def test_the_contact_sheet_numbers_its_views_and_marks_the_flagged():
    figure = plot_contact_sheet("toy/box", splits_of(ring(30), ring(4, seed=1)), {("test", 2)})
    found = texts(figure)
    assert {"train: 24 of 30 views", "test: 4 views", "2 !"} <= set(found)
    assert found.count("3") == 1 + (
        "3" in [str(view) for view in choose_views(summarise_split("train", ring(30)), set())]
    )
    figure.canvas.draw()


def test_the_cameras_are_drawn_from_three_sides():
    figure = plot_cameras("toy/box", splits_of(ring(130, levels=1), ring(4, phase=0.4, levels=1)))
    assert {"from above", "from the side", "in perspective", "near", "far"} <= set(texts(figure))
    assert {"train: 100 of 130", "test: 4", "nearest to all axes"} <= set(texts(figure))
    figure.canvas.draw()
    top, side, _ = figure.axes
    assert (top.get_xlabel(), top.get_ylabel(), side.get_ylabel()) == ("x", "y", "z")
    assert np.ptp(top.get_xlim()) == pytest.approx(np.ptp(side.get_ylim()))


@pytest.mark.parametrize("scene", [forward(), forward(ndc=False), ring(1), ring(2)], ids=["ndc", "forward", "1", "2"])
def test_any_number_and_kind_of_cameras_can_be_drawn(scene):
    figure = plot_cameras("toy/box", splits_of(scene, scene))
    figure.canvas.draw()
    assert ("to infinity" in texts(figure)) == scene.ndc
    if scene.ndc:
        assert [figure.axes[0].get_ylabel(), figure.axes[1].get_xlabel()] == ["z", "z"]
