"""The numbers of cameras against slow second computations."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected_scenes import FOCAL, HEIGHT, WIDTH, forward, ring

from mipnerf.cameras import convert_to_ndc
from mipnerf.inspection import cameras


def test_the_numbers_of_a_ring_are_those_it_was_made_with():
    facts = cameras.camera_facts(cameras.cameras_of(ring(12)))
    assert facts["viewing"] == "inward"
    assert facts["distance_from_origin"] == pytest.approx({"min": 4, "median": 4, "max": 4})
    assert facts["focus"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert facts["focal_length"]["median"] == pytest.approx(FOCAL)
    expected = [2 * math.degrees(math.atan(side / 2 / FOCAL)) for side in (WIDTH, HEIGHT)]
    assert facts["field_of_view"] == pytest.approx(expected)
    assert facts["contained_radius"] == pytest.approx(2)
    assert facts["visible_radius"] == pytest.approx(4 * math.sin(math.radians(expected[1]) / 2))
    assert (facts["near"]["min"], facts["far"]["max"], facts["ndc"]) == (2, 6, False)
    json.dumps(facts)


def test_cameras_that_look_forward_outward_and_anywhere_are_told_apart():
    inward = cameras.cameras_of(ring(12))
    outward = inward.camtoworlds * [-1, 1, -1, 1]
    mixed = np.where(np.arange(24)[:12, None, None] % 2 == 0, inward.camtoworlds, outward)
    assert cameras.viewing(replace(inward, camtoworlds=outward)) == "outward"
    assert cameras.viewing(replace(inward, camtoworlds=mixed)) == "mixed"
    assert cameras.viewing(cameras.cameras_of(forward())) == "forward"
    parallel = replace(
        inward, camtoworlds=np.concatenate([np.tile(np.eye(3), (12, 1, 1)), inward.camtoworlds[..., 3:]], 2)
    )
    facts = cameras.camera_facts(parallel)
    assert (facts["viewing"], facts["focus"], facts["contained_radius"]) == ("forward", None, None)
    opposite = parallel.camtoworlds * np.where(np.arange(12) % 2, 1, -1)[:, None, None] ** [[[1, 0, 1, 0]]]
    assert cameras.viewing(replace(inward, camtoworlds=opposite)) == "mixed"


def test_one_camera_has_no_neighbour_and_no_overlap():
    facts = cameras.camera_facts(cameras.cameras_of(ring(1)))
    assert (facts["overlap"], facts["neighbour_distance"]) == (None, None)


def test_a_point_is_seen_where_it_projects_into_the_image_between_the_bounds():
    scene = cameras.cameras_of(ring(3))
    points = np.random.default_rng(0).uniform(-5, 5, (2000, 3))
    for view in range(3):
        pose = scene.camtoworlds[view]
        local = (points - pose[:, 3]) @ pose[:, :3]  # orthonormal: the transpose is the inverse
        depth = -local[:, 2]
        x, y = WIDTH / 2 + FOCAL * local[:, 0] / depth, HEIGHT / 2 - FOCAL * local[:, 1] / depth
        expected = (depth >= 2) & (depth <= 6) & (x >= 0) & (x <= WIDTH) & (y >= 0) & (y <= HEIGHT)
        assert 0 < expected.sum() < 2000
        assert cameras.seen(scene, view, points).tolist() == expected.tolist()


@pytest.mark.parametrize("make", [lambda: ring(6), forward], ids=["world", "ndc"])
def test_every_camera_sees_its_own_frustum(make):
    scene = cameras.cameras_of(make())
    points = cameras.frustum_points(scene)
    for view in range(scene.num_views):
        assert cameras.seen(scene, view, points[view]).all()


def test_distances_in_ndc_are_those_of_the_warped_rays():
    scene = cameras.cameras_of(forward())
    pixels, t = np.array([[[3.5, 2.5], [20.5, 9.5]]] * 5), np.array([[0.0, 0.3, 0.8]] * 5)
    points = cameras.along_rays(scene, pixels, t)
    homogeneous = np.concatenate([pixels, np.ones((5, 2, 1))], axis=-1)
    directions = np.einsum("vij,vjk,vpk->vpi", scene.camtoworlds[:, :, :3], scene.pix2cams, homogeneous)
    origins = np.broadcast_to(scene.camtoworlds[:, None, :, 3], directions.shape)
    origins, directions = convert_to_ndc(torch.from_numpy(origins.copy()), torch.from_numpy(directions), 1.0, 1.0, 1.0)
    warped = origins[:, :, None] + torch.from_numpy(t)[:, None, :, None] * directions[:, :, None]
    x, y, z = np.moveaxis(points, -1, 0)
    np.testing.assert_allclose(np.stack([-2 * x / z, -2 * y / z, 1 + 2 / z], axis=-1), warped, atol=1e-9)


def test_the_nearest_pose_is_that_of_a_loop():
    one, two = cameras.cameras_of(ring(9)), cameras.cameras_of(ring(7, phase=0.3))
    scale = max(np.abs(cameras.positions(scene)).max() for scene in (one, two))
    flat, others = (np.concatenate([s.camtoworlds[..., :3], s.camtoworlds[..., 3:] / scale], 2) for s in (one, two))
    table = np.array([[np.linalg.norm(a - b) for b in others] for a in flat])
    distances, indices = cameras.nearest_poses(one, two)
    np.testing.assert_allclose(distances, table.min(axis=1), atol=1e-7)
    assert indices.tolist() == table.argmin(axis=1).tolist()
    assert cameras.nearest_poses(one, one)[0].min() > 0.1
    single = one.select([0])
    assert np.isinf(cameras.nearest_poses(single, single)[0]).all()


def test_overlap_is_whole_for_one_place_and_none_for_opposite_directions():
    scene = cameras.cameras_of(ring(8))
    same = replace(scene, camtoworlds=scene.camtoworlds[[0] * 8])
    assert cameras.overlap(same) == {"pairs": 1, "share": 1}
    apart = replace(scene, camtoworlds=scene.camtoworlds * [-1, 1, -1, 1])
    assert cameras.overlap(apart)["pairs"] < 0.5
    assert cameras.coverage(same, scene.select([0])).tolist() == [1]
