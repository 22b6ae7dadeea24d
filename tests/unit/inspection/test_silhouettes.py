"""The box that silhouettes leave for an object: it holds all of it, and little else."""

import math
from dataclasses import replace

import numpy as np
import pytest
from inspected_scenes import RUN, findings_of, forward, ring

from mipnerf.cameras import Cameras, image_rays
from mipnerf.datasets.scene import Scene, pinhole_pix2cam
from mipnerf.inspection import silhouettes
from mipnerf.inspection.images import summarise_split
from mipnerf.inspection.report import format_inspection, inspect_scene
from mipnerf.inspection.silhouettes import object_box, silhouette_of, widened

CENTER = np.array([0.2, -0.1, 0.15])
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quick_searches(monkeypatch):
    """Margins follow the distance of the points, so a search may be as coarse as is quick."""
    monkeypatch.setattr(silhouettes, "SEARCHES", (72, 72))


def seen(radii, count: int = 10, focal: float = 1.2, side: int = 96, finer: int = 4) -> Scene:
    """An ellipsoid around `CENTER`, opaque, before nothing; `finer` x `finer` rays for each pixel."""
    scene = replace(
        ring(count, levels=1),
        images=[np.zeros((side, side, 4), np.uint8)] * count,
        pix2cams=np.stack([pinhole_pix2cam(focal * side, side, side)] * count),
    )
    cameras, images = Cameras.from_scene(scene).supersampled(finer), []
    for view in range(count):
        rays = image_rays(cameras, view, finer * side, finer * side)
        # In units of the radii, it is the unit sphere.
        origins = (rays.origins.double().numpy() - CENTER) / radii
        directions = rays.directions.double().numpy() / radii
        a, b = (directions**2).sum(-1), (origins * directions).sum(-1)
        is_met = b**2 - a * ((origins**2).sum(-1) - 1) > 0
        image = np.full((side, side, 4), 200, np.uint8)
        image[..., 3] = np.ceil(255 * is_met.reshape(side, finer, side, finer).mean((1, 3)))
        images.append(image)
    return replace(scene, images=images)


def box_of(scene: Scene) -> np.ndarray | None:
    split = summarise_split("train", scene)
    found = object_box(split.cameras, split.silhouettes)
    return None if found is None else np.reshape(found, (2, 3))


@pytest.mark.parametrize("radii", [(0.5, 0.5, 0.5), (0.7, 0.3, 0.2), (0.03, 0.9, 0.04)], ids=str)
def test_the_box_holds_the_object_and_little_more(radii):
    box = box_of(seen(np.array(radii)))
    low, high = CENTER - radii, CENTER + radii
    assert (box[0] <= low).all()
    assert (box[1] >= high).all()
    # Above and below, the hull that cameras from the side see is larger than the object.
    assert (low[:2] - box[0, :2] < 0.25).all()
    assert (box[1, :2] - high[:2] < 0.25).all()


def test_a_rod_thinner_than_what_is_searched_is_held():
    radii = np.array([0.005, 0.9, 0.005])
    box = box_of(seen(radii, side=384, finer=2))
    # Its very tips are thinner than the rays are apart.
    assert (box[0] <= CENTER - 0.98 * radii).all()
    assert (box[1] >= CENTER + 0.98 * radii).all()


def test_images_that_cut_the_object_off_do_not_tell_where_it_ends():
    scene = seen(np.full(3, 0.9), focal=2.5)
    assert all(silhouette_of(image)[:, [0, -1]].any() for image in scene.images)
    assert box_of(scene) is None


def test_a_few_images_that_cut_it_off_or_show_something_else_spoil_nothing():
    radii = np.full(3, 0.5)
    scene = seen(radii)
    images = list(scene.images)
    images[0] = np.full_like(images[0], 255)
    box, expected = box_of(replace(scene, images=images)), box_of(scene)
    assert (box[0] <= expected[0] + 0.03).all()
    assert (box[1] >= expected[1] - 0.03).all()
    assert np.abs(box - expected).max() < 0.3


def test_an_object_that_does_not_end_between_near_and_far_has_no_box():
    scene = seen(np.full(3, 0.6))
    assert box_of(replace(scene, nears=np.full(10, 3.6), fars=np.full(10, 4.4))) is None


def test_a_silhouette_is_widened_and_may_go_on_beside_the_image():
    silhouette = np.zeros((21, 25), bool)
    silhouette[10, 12] = True
    wide = widened(silhouette, 2)
    assert wide.shape == (25, 29)
    empty = ~wide
    assert empty[4:21, 4:25].sum() == empty.sum() == 17 * 21 - 25
    assert not empty[10:15, 12:17].any()
    assert widened(silhouette, 0).tolist() == silhouette.tolist()


def test_what_a_mask_hides_may_be_object():
    image, mask = np.zeros((8, 8, 4), np.uint8), np.ones((8, 8), bool)
    mask[3, 4] = False
    assert np.argwhere(silhouette_of(image, mask)).tolist() == [[3, 4]]


def test_a_cell_is_there_if_one_of_its_pixels_is():
    image = np.zeros((400, 300, 4), np.uint8)
    image[301, 299, 3] = 1
    found = silhouette_of(image)
    assert found.shape == (math.ceil(400 / 3), 100)
    assert np.argwhere(found).tolist() == [[100, 99]]
    assert silhouette_of(np.zeros((4, 4, 3), np.uint8)).all()


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(ring(6, levels=1, channels=3), id="no transparency"),
        pytest.param(forward(), id="NDC"),
        pytest.param(forward(ndc=False), id="forward"),
        pytest.param(replace(ring(6, levels=1), nears=np.full(6, 5.0)), id="nothing between the bounds"),
        pytest.param(seen(np.full(3, 1e-6)), id="nothing to see"),
    ],
)
def test_there_is_no_box_where_silhouettes_tell_of_none(scene):
    assert box_of(scene) is None


def test_a_box_that_cuts_the_object_off_is_suspicious():
    scene = seen(np.full(3, 0.5))
    found = box_of(scene).ravel().tolist()

    def suspicions(box):
        run = RUN.model_copy(update={"data": RUN.data.model_copy(update={"box": box})})
        return [finding.message for finding in findings_of(scene, scene, run) if "data.box" in finding.message]

    assert suspicions(None) == suspicions(found) == []
    (message,) = suspicions([*found[:3], found[3], found[4], 0.2])
    assert "cuts off what silhouettes show" in message
    assert str(found) in message


def test_an_inspection_says_what_to_set(tmp_path, monkeypatch):
    from mipnerf.inspection import report

    scene = seen(np.full(3, 0.5))
    monkeypatch.setattr(report, "load_scene", lambda *arguments, **options: scene)
    result = inspect_scene(tmp_path, RUN, tmp_path)
    assert np.reshape(result["object_box"], (2, 3)).tolist() == box_of(scene).tolist()
    assert f"`data.box: {result['object_box']}` samples nothing else" in format_inspection(result)
    black = RUN.model_copy(update={"data": RUN.data.model_copy(update={"white_bkgd": False})})
    assert inspect_scene(tmp_path, black, tmp_path)["object_box"] is None
