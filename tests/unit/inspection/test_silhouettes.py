"""The box that silhouettes leave for an object: it holds all of it, and little else."""

import math
from dataclasses import replace

import numpy as np
import pytest
from inspected_scenes import RUN, findings_of, forward, ring

from mipnerf.cameras import Cameras, image_rays
from mipnerf.datasets.scene import Scene, pinhole_pix2cam
from mipnerf.inspection.images import summarise_split
from mipnerf.inspection.report import format_inspection, inspect_scene
from mipnerf.inspection.silhouettes import MARGINS, object_box, silhouette_of, widened

SIDE, FINER = 96, 8  # pixels, and rays along a side of one
CENTER = np.array([0.2, -0.1, 0.15])


def seen(radii, count: int = 10, focal: float = 1.2 * SIDE, channels: int = 4) -> Scene:
    """An ellipsoid around `CENTER`, opaque, before nothing."""
    scene = ring(count, levels=1, channels=channels)
    size = np.full(count, SIDE)
    scene = replace(
        scene,
        images=[np.zeros((SIDE, SIDE, channels), np.uint8)] * count,
        pix2cams=np.stack([pinhole_pix2cam(focal, SIDE, SIDE)] * count),
    )
    assert (scene.widths == size).all()
    cameras, images = Cameras.from_scene(scene).supersampled(FINER), []
    for view in range(count):
        rays = image_rays(cameras, view, FINER * SIDE, FINER * SIDE)
        # In units of the radii, it is the unit sphere.
        origins = (rays.origins.double().numpy() - CENTER) / radii
        directions = rays.directions.double().numpy() / radii
        a, b = (directions**2).sum(-1), (origins * directions).sum(-1)
        is_met = b**2 - a * ((origins**2).sum(-1) - 1) > 0
        image = np.full((SIDE, SIDE, channels), 200, np.uint8)
        image[..., -1] = 255 * is_met.reshape(SIDE, FINER, SIDE, FINER).mean((1, 3))
        images.append(image)
    return replace(scene, images=images)


def box_of(scene: Scene) -> np.ndarray | None:
    split = summarise_split("train", scene)
    found = object_box(split.cameras, split.silhouettes)
    return None if found is None else np.reshape(found, (2, 3))


@pytest.mark.parametrize("radii", [(0.5, 0.5, 0.5), (0.7, 0.3, 0.2), (0.03, 0.04, 0.9)], ids=str)
def test_the_box_holds_the_object_and_little_more(radii):
    box = box_of(seen(np.array(radii)))
    low, high = CENTER - radii, CENTER + radii
    assert (box[0] <= low).all()
    assert (box[1] >= high).all()
    # Cameras of two heights see a hull that is larger than the object, above and below most of all.
    assert (low[:2] - box[0, :2] < 0.2).all()
    assert (box[1, :2] - high[:2] < 0.2).all()
    assert low[2] - box[0, 2] < 0.45
    assert box[1, 2] - high[2] < 0.45


def test_images_that_cut_the_object_off_tell_nothing_of_what_is_beside_them():
    radii = np.array([0.9, 0.9, 0.9])
    scene = seen(radii, focal=2.5 * SIDE)
    assert all(silhouette_of(image)[:, [0, -1]].any() for image in scene.images)
    box = box_of(scene)
    assert (box[0] <= CENTER - radii).all()
    assert (box[1] >= CENTER + radii).all()


def test_a_silhouette_is_widened_and_goes_on_beside_an_image_that_cuts_it():
    whole, cut = np.zeros((5, 6), bool), np.zeros((5, 6), bool)
    whole[2, 3] = cut[0, 3] = True
    for margin in MARGINS:
        wide = widened(whole, margin)
        assert wide.shape == (5 + 2 * margin + 2, 6 + 2 * margin + 2)
        assert wide.sum() == (2 * margin + 1) ** 2
        assert wide[2 + margin + 1, 3 + margin + 1]
        assert widened(cut, margin)[0].all()


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
