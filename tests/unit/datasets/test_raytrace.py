"""The ray tracer against signed distances, a scalar second implementation; shadows, patterns and gloss."""

import math

import numpy as np
import pytest

from mipnerf.datasets import bricks, raytrace
from mipnerf.datasets.raytrace import BOX, CYLINDER, PRIMITIVE, SPHERE, SUN, Sunlight, dot


def solid(kind, a, b, radius=0.0, color=(1, 1, 1), second=(0, 0, 0), cell=(np.inf,) * 3, gloss=0.0):
    row = np.zeros(1, PRIMITIVE)
    for name, value in locals().copy().items():
        if name != "row":
            row[name] = value
    return row


SOLIDS = {
    "box": solid(BOX, (-0.5, -0.2, -0.9), (0.3, 0.4, 0.7)),
    "thin box": solid(BOX, (-0.8, -0.02, -0.5), (0.6, 0.02, 0.5)),
    "upright cylinder": solid(CYLINDER, (0.1, 0.2, -0.6), (0.1, 0.2, 0.3), 0.4),
    "slanted cylinder": solid(CYLINDER, (-0.5, 0.2, -0.6), (0.6, -0.4, 0.5), 0.15),
    "sphere": solid(SPHERE, (0.1, -0.2, 0.3), (0.1, -0.2, 0.3), 0.6),
}


def signed_distance(row, point) -> float:
    """Distance of `point` from the surface, negative inside."""
    a, b, radius = row["a"].tolist(), row["b"].tolist(), float(row["radius"])
    if row["kind"] == SPHERE:
        return math.dist(point, a) - radius
    if row["kind"] == BOX:
        outside = [max(lo - x, x - hi) for lo, x, hi in zip(a, point, b, strict=True)]
    else:
        height = math.dist(a, b)
        along = sum((x - s) * (e - s) for x, s, e in zip(point, a, b, strict=True)) / height
        across = math.sqrt(max(0.0, math.dist(point, a) ** 2 - along**2))
        outside = [across - radius, max(-along, along - height)]
    return min(max(outside), 0.0) + math.hypot(*(max(value, 0.0) for value in outside))


def march(row, origin, direction, limit=12.0) -> tuple[float, float]:
    """Sphere tracing: where a ray of unit direction enters (inf: nowhere), and the least distance on its way."""
    t, least = 0.0, math.inf
    for _ in range(20_000):  # shallow rays creep along a face
        gap = signed_distance(row, [o + t * d for o, d in zip(origin, direction, strict=True)])
        least = min(least, gap)
        t += gap
        if t > limit:
            return math.inf, least
        if gap < 1e-10:
            return t, least
    return t, least


@pytest.mark.parametrize("name", SOLIDS)
def test_rays_enter_and_leave_where_signed_distances_vanish(name):
    rng = np.random.default_rng(3)
    row = SOLIDS[name]
    origins = rng.normal(size=(3, 150))
    origins *= 4 / np.linalg.norm(origins, axis=0)
    directions = rng.uniform(-0.6, 0.6, size=(3, 150)) - origins
    directions[0, :10] = 0  # parallel to faces
    origins[:2, 10:15], origins[2, 10:15] = rng.uniform(-0.5, 0.5, size=(2, 5)), 4
    directions[:, 10:15] = np.array([[0], [0], [-1]])  # parallel to axes
    directions /= np.linalg.norm(directions, axis=0)
    near, far = raytrace.intervals(row, origins, directions)
    hits = 0
    for i, (origin, direction) in enumerate(zip(origins.T, directions.T, strict=True)):
        enter, least = march(row[0], origin, direction)
        if math.isinf(enter):
            assert least < 1e-6 or not near[0, i] < far[0, i]
            continue
        leave = 9 - march(row[0], origin + 9 * direction, -direction)[0]
        if leave - enter < 1e-3:  # it grazes: too close for marching
            continue
        hits += 1
        assert near[0, i] == pytest.approx(enter, abs=1e-7)
        assert far[0, i] == pytest.approx(leave, abs=1e-7)
    assert 20 <= hits <= 149


@pytest.mark.parametrize("name", SOLIDS)
def test_a_step_along_the_normal_leads_straight_away_from_the_solid(name):
    """From a convex solid a unit step gains the distance 1 along a normal, and less in any other direction."""
    rng = np.random.default_rng(5)
    row = SOLIDS[name]
    origins = rng.normal(size=(3, 200))
    origins *= 4 / np.linalg.norm(origins, axis=0)
    directions = rng.uniform(-0.4, 0.4, size=(3, 200)) - origins
    t, index = raytrace.first_hit(row, origins, directions)
    hit = np.isfinite(t)
    points = origins[:, hit] + t[hit] * directions[:, hit]
    normals = raytrace.normals(row[index[hit]], points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1, atol=1e-14)
    gained = [signed_distance(row[0], point) for point in (points + normals).T]
    np.testing.assert_allclose(gained, 1, atol=1e-9)
    assert len(gained) > 40


@pytest.mark.parametrize("name", SOLIDS)
def test_bounds_touch_the_solid_on_every_side(name):
    row = SOLIDS[name]
    lo, hi = (corner[0] for corner in raytrace.bounds(row))
    middle, reach = (lo + hi) / 2, 3.0
    for axis in range(3):
        # A plane of rays along the axis: the extreme entry points are the bounds.
        u, v = np.meshgrid(np.linspace(-1.2, 1.2, 401), np.linspace(-1.2, 1.2, 401))
        origins = np.empty((3, u.size))
        others = [i for i in range(3) if i != axis]
        origins[others[0]], origins[others[1]] = middle[others[0]] + u.ravel(), middle[others[1]] + v.ravel()
        origins[axis] = -reach
        direction = np.eye(3)[axis][:, None]
        near, far = raytrace.intervals(row, origins, direction)
        inside = near < far
        assert near[inside].min() - reach == pytest.approx(lo[axis], abs=5e-3)
        assert far[inside].max() - reach == pytest.approx(hi[axis], abs=5e-3)
        assert near[inside].min() - reach >= lo[axis] - 1e-12
        assert far[inside].max() - reach <= hi[axis] + 1e-12


def test_the_nearest_solid_wins():
    rows = np.concatenate([solid(BOX, (-1, -1, -1), (1, 1, 0)), solid(SPHERE, (0, 0, 0.5), (0, 0, 0.5), 0.2)])
    origins = np.array([[0, 0, 4], [0.9, 0, 4], [3, 0, 4]], float).T
    t, index = raytrace.first_hit(rows, origins, np.array([[0.0], [0.0], [-1.0]]))
    np.testing.assert_allclose(t, [3.3, 4.0, np.inf], rtol=1e-15)
    np.testing.assert_array_equal(index[:2], [1, 0])


def test_the_sun_direction_is_a_unit_vector():
    assert dot(SUN, SUN) == pytest.approx(1, abs=1e-15)


def test_a_ball_shadows_the_points_behind_it_as_seen_from_the_sun():
    ball = solid(SPHERE, (0, 0, 1), (0, 0, 1), 0.3)
    across = raytrace.unit(np.cross(SUN, (0, 0, 1)))
    behind = np.array([0, 0, 1]) - 2 * np.array(SUN)
    points = np.stack([behind, behind + 0.29 * across, behind + 0.31 * across, np.array([0, 0, 1]) + 2 * np.array(SUN)])
    np.testing.assert_array_equal(Sunlight(ball).reaches(points.T), [False, False, True, True])


def test_shadows_need_no_other_primitives_than_those_asked():
    """The choice of blockers changes nothing: against all primitives, for the points of one view, in small groups."""
    scene = bricks.build_scene()
    pose = bricks.camera_poses("test", 7)[5]
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5))
    directions = raytrace.camera_directions(x, y, pose, bricks.TAN_HALF_ANGLE, 48)
    t, row = raytrace.first_hit(scene, pose[:3, 3:], directions)
    hit = np.isfinite(t)
    points = pose[:3, 3:] + t[hit] * directions[:, hit]
    points = points + 1e-6 * raytrace.normals(scene[row[hit]], points)
    near, far = raytrace.intervals(scene, points, np.array(SUN)[:, None])
    expected = ~((near < far) & (far > 0)).any(axis=0)
    sunlight = Sunlight(scene)
    reached = np.concatenate([sunlight.reaches(points[:, i : i + 16]) for i in range(0, points.shape[1], 16)])
    np.testing.assert_array_equal(reached, expected)
    assert 0.2 < expected.mean() < 0.8


def test_stripes_and_checkers_alternate_from_the_corner_of_the_solid():
    row = solid(BOX, (-0.5, -0.5, -1), (0.5, 0.5, 0), color=(1, 0, 0), second=(0, 0, 1), cell=(0.25, 0.5, np.inf))
    x, y = np.array([-0.4, -0.2, 0.1, 0.4, -0.4, -0.2]), np.array([-0.4, -0.4, -0.4, -0.4, 0.1, 0.1])
    points, up = np.stack([x, y, np.zeros(6)]), np.array([[0.0], [0.0], [1.0]])
    colors = raytrace.albedo(np.repeat(row, 6), points, up)
    np.testing.assert_array_equal(colors[0], [1, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(colors[2], 1 - colors[0])


def test_only_glossy_solids_look_different_from_other_sides():
    up = np.array([0.0, 0.0, 1.0])
    mirrored = 2 * np.dot(SUN, up) * up - SUN  # towards the eye that sees the highlight
    towards = -np.stack([mirrored, [0.6, 0.0, 0.8]], axis=1)
    for gloss in (0.0, 0.25):
        row = solid(BOX, (-1, -1, -1), (1, 1, 0), color=(0.2, 0.2, 0.2), gloss=gloss)
        color = raytrace.shade(np.repeat(row, 2), np.zeros((3, 2)), towards, Sunlight(row))
        assert (color >= 0).all()
        assert (color <= 1).all()
        if gloss:
            assert (color[:, 0] > color[:, 1] + 0.05).all()
        else:
            np.testing.assert_array_equal(color[:, 0], color[:, 1])
