"""A small ray tracer for solid primitives whose pixels are the same on every machine.

Only operations that IEEE 754 fixes to the last bit touch a pixel: + - * / sqrt, comparisons and floor, one at a time
and in a fixed order, in float64. No BLAS, no `einsum`, no power or trigonometry, whose digits depend on the CPU.

A scene is a structured array of `PRIMITIVE`, one row a solid. All solids are convex, so a ray meets each of them in one
interval [near, far] of its parameter. Vectors are stored component first: points and directions are `[3, ...]`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

Interval = tuple[np.ndarray, np.ndarray]  # near and far, [K, N]
Vector = np.ndarray | Sequence[Any]  # [3, ...]

BOX, CYLINDER, SPHERE = range(3)

# Box: corners a < b. Cylinder: capped, axis from a to b. Sphere: centre a = b. The colour alternates with `second` in
# the cells of a 3D checkerboard that starts at a; an infinite cell side makes stripes. Colours are linear, in [0, 1].
_VECTORS = ("a", "b", "color", "second", "cell")
PRIMITIVE = np.dtype([("kind", "i8"), ("radius", "f8"), ("gloss", "f8"), *((name, "f8", 3) for name in _VECTORS)])

TILE = 8  # pixels a side: small enough to see few primitives, large enough to keep numpy busy
NUDGE = 1e-6  # off the surface, against self-shadowing
SKIN = 1e-4  # below the surface, where a face that lies on a cell border has one colour

SUN = (0.48, -0.60, 0.64)  # unit vector towards the sun
SUN_LIGHT = (0.78, 0.72, 0.62)
SKY_LIGHT = (0.36, 0.40, 0.47)
GROUND_LIGHT = (0.27, 0.24, 0.21)


def dot(u: Vector, v: Vector) -> np.ndarray:
    """Sum over the first axis of `u * v`, in a fixed order."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def unit(v: np.ndarray) -> np.ndarray:
    """`v` [3, ...] with length 1; a zero vector stays zero."""
    length = np.sqrt(dot(v, v))
    return v / np.where(length == 0, 1.0, length)


def bounds(scene: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners `(lo, hi)`, each [K, 3], of the axis-aligned boxes around the K primitives."""
    axis = unit((scene["b"] - scene["a"]).T).T
    margin = scene["radius"][:, None] * np.sqrt(np.maximum(1.0 - axis * axis, 0.0))
    return np.minimum(scene["a"], scene["b"]) - margin, np.maximum(scene["a"], scene["b"]) + margin


def intervals(scene: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays are inside of primitives.

    Args:
      scene: [K] `PRIMITIVE`.
      origins: [3, N] or [3, 1].
      directions: [3, N] or [3, 1], of any length but zero.

    Returns:
      near, far: [K, N], ray parameters; a ray misses where not near < far.
    """
    count = np.broadcast_shapes(origins.shape, directions.shape)[1]
    near, far = np.empty((2, len(scene), count))
    for kind, meet in ((BOX, _meet_boxes), (CYLINDER, _meet_cylinders), (SPHERE, _meet_spheres)):
        rows = np.flatnonzero(scene["kind"] == kind)
        if len(rows):
            near[rows], far[rows] = meet(scene[rows], origins, directions)
    return near, far


def _columns(vectors: np.ndarray) -> np.ndarray:
    """[K, 3] -> [3, K, 1], ready to broadcast against rays [3, N] component by component."""
    return vectors.T[:, :, None]


def _nonzero(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, 1e-12, x)


def _meet_slab(start: np.ndarray, end: np.ndarray, slope: np.ndarray) -> Interval:
    """The interval of t in which start <= t * slope <= end."""
    first, second = start / slope, end / slope
    return np.minimum(first, second), np.maximum(first, second)


def _meet_boxes(boxes: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> Interval:
    near, far = np.array(-np.inf), np.array(np.inf)
    for lo, hi, origin, slope in zip(_columns(boxes["a"]), _columns(boxes["b"]), origins, directions, strict=True):
        enter, leave = _meet_slab(lo - origin, hi - origin, _nonzero(slope))
        near, far = np.maximum(near, enter), np.minimum(far, leave)
    return near, far


def _meet_quadric(square: np.ndarray, half_linear: np.ndarray, constant: np.ndarray) -> Interval:
    """The interval in which square t² + 2 half_linear t + constant < 0, for square > 0."""
    discriminant = half_linear * half_linear - square * constant
    root = np.sqrt(np.maximum(discriminant, 0.0))
    near = np.where(discriminant > 0, (-half_linear - root) / square, np.inf)
    return near, (-half_linear + root) / square


def _meet_cylinders(cylinders: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> Interval:
    foot, head, radius = _columns(cylinders["a"]), _columns(cylinders["b"]), cylinders["radius"][:, None]
    height, axis = np.sqrt(dot(head - foot, head - foot)), unit(head - foot)
    offset = [origin - start for origin, start in zip(origins, foot, strict=True)]
    climb, rise = dot(directions, axis), dot(offset, axis)
    # What is left of direction and offset when their part along the axis is taken away.
    square = np.maximum(dot(directions, directions) - climb * climb, 1e-12)
    half_linear = dot(offset, directions) - rise * climb
    constant = dot(offset, offset) - rise * rise - radius * radius
    near, far = _meet_quadric(square, half_linear, constant)
    enter, leave = _meet_slab(-rise, height - rise, _nonzero(climb))
    return np.maximum(near, enter), np.minimum(far, leave)


def _meet_spheres(spheres: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> Interval:
    offset = [origin - centre for origin, centre in zip(origins, _columns(spheres["a"]), strict=True)]
    radius = spheres["radius"][:, None]
    square, constant = dot(directions, directions), dot(offset, offset) - radius * radius
    return _meet_quadric(square, dot(offset, directions), constant)


def first_hit(scene: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ray parameter (inf: none) and row of the first primitive that each ray enters; both [N]."""
    near, far = intervals(scene, origins, directions)
    near = np.where((near < far) & (near > 0), near, np.inf)
    row = np.argmin(near, axis=0)
    return np.take_along_axis(near, row[None], axis=0)[0], row


def normals(solids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Outward unit normals [3, N] at `points` [3, N], where point n lies on the surface of `solids[n]`."""
    a, b, kind, radius = solids["a"].T, solids["b"].T, solids["kind"], solids["radius"]
    span, axis = b - a, unit(b - a)
    offset = points - a

    side = (offset - 0.5 * span) / np.where(span == 0, 1.0, span)  # box: ±0.5 on the faces
    face = np.argmax(np.abs(side), axis=0)
    box = np.where(np.arange(3)[:, None] == face, np.sign(side), 0.0)

    rise = dot(offset, axis)
    radial = offset - rise * axis  # sphere: the axis is zero, all is radial
    depths = np.stack([radius - np.sqrt(dot(radial, radial)), rise, np.sqrt(dot(span, span)) - rise])
    part = np.where(kind == SPHERE, 0, np.argmin(np.abs(depths), axis=0))
    turned = np.where(part == 0, unit(radial), np.where(part == 1, -axis, axis))
    return np.where(kind == BOX, box, turned)


def albedo(solids: np.ndarray, points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Linear colours [3, N] of the checkerboards of `solids` [N] at their surface points [3, N]."""
    inside = points - SKIN * normal - solids["a"].T
    cells = [np.floor(x / side) for x, side in zip(inside, solids["cell"].T, strict=True)]
    odd = (cells[0] + cells[1] + cells[2]) % 2 == 1
    return np.where(odd, solids["second"].T, solids["color"].T)


class Sunlight:
    """Answers which points of `scene` the sun reaches; asks only primitives that can stand in the way."""

    def __init__(self, scene: np.ndarray):
        self.scene = scene
        self.across = unit(np.array([-SUN[1], SUN[0], 0.0]))
        self.upward = np.cross(SUN, self.across)
        self.lo, self.hi = self._extent(_corners(scene))

    def _extent(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = np.stack([dot(points, self.across), dot(points, self.upward), dot(points, SUN)])
        return seen.min(axis=-1), seen.max(axis=-1)

    def reaches(self, points: np.ndarray) -> np.ndarray:
        """Whether each of `points` [3, N], just off a surface, sees the sun: bool [N]."""
        lo, hi = (corner[:, None] for corner in self._extent(points))
        beside = (self.lo[:2] > hi[:2]) | (self.hi[:2] < lo[:2])
        blockers = self.scene[~beside.any(axis=0) & (self.hi[2] > lo[2, 0])]
        near, far = intervals(blockers, points, np.array(SUN)[:, None])
        return np.logical_not(((near < far) & (far > 0)).any(axis=0))


def _corners(scene: np.ndarray) -> np.ndarray:
    """The corners [3, K, 8] of the boxes around the primitives."""
    lo, hi = (corner.T for corner in bounds(scene))
    choices = np.array(list(itertools.product((False, True), repeat=3))).T  # [3, 8]
    return np.where(choices[:, None], hi[..., None], lo[..., None])


def shade(solids: np.ndarray, points: np.ndarray, directions: np.ndarray, sunlight: Sunlight) -> np.ndarray:
    """Display colours [3, N] in [0, 1]: Lambert sun with hard shadows, sky light, Blinn-Phong highlights."""
    normal = normals(solids, points)
    sun = np.array(SUN)[:, None]
    facing = dot(normal, sun)
    lit = np.flatnonzero(facing > 0)
    beam = np.zeros(points.shape[1])
    if len(lit):
        beam[lit] = sunlight.reaches(points[:, lit] + NUDGE * normal[:, lit])

    halfway = unit(sun - unit(directions))
    shine = np.maximum(dot(normal, halfway), 0.0)
    for _ in range(5):  # to the 32nd power
        shine = shine * shine
    above = 0.5 + 0.5 * normal[2]
    color = albedo(solids, points, normal)
    channels = []
    for channel, (sun_light, sky, ground) in enumerate(zip(SUN_LIGHT, SKY_LIGHT, GROUND_LIGHT, strict=True)):
        diffuse = beam * np.maximum(facing, 0.0) * sun_light + above * sky + (1.0 - above) * ground
        linear = color[channel] * diffuse + solids["gloss"] * beam * shine * sun_light
        channels.append(np.sqrt(np.minimum(linear, 1.0)))  # a display gamma of 2
    return np.stack(channels)


def _screen_bounds(
    scene: np.ndarray, camtoworld: np.ndarray, tan_half_angle: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pixel rectangles `(lo, hi)`, each [2, K], outside of which the primitives cannot be seen."""
    corners = _corners(scene) - camtoworld[:3, 3, None, None]
    right, up, back = (dot(corners, camtoworld[:3, axis]) for axis in range(3))
    x = (right / -back / tan_half_angle + 1.0) * 0.5 * size
    y = (up / back / tan_half_angle + 1.0) * 0.5 * size
    seen = np.stack([x, y])
    return seen.min(axis=-1) - 1e-6, seen.max(axis=-1) + 1e-6


def camera_directions(
    x: np.ndarray, y: np.ndarray, camtoworld: np.ndarray, tan_half_angle: float, size: int
) -> np.ndarray:
    """Ray directions [3, ...] with depth 1 through the image points `(x, y)` in pixels, (0, 0) the top left corner."""
    right = (2.0 * x / size - 1.0) * tan_half_angle
    up = (1.0 - 2.0 * y / size) * tan_half_angle
    return np.stack([row[0] * right + row[1] * up - row[2] for row in camtoworld[:3]])


def render(
    scene: np.ndarray, sunlight: Sunlight, camtoworld: np.ndarray, tan_half_angle: float, size: int, samples: int
) -> np.ndarray:
    """Ray trace one view.

    Args:
      scene: [K] `PRIMITIVE`, all in front of the camera, which is outside of all of them.
      sunlight: of the same scene.
      camtoworld: [4, 4], the camera looks along its -z, +y is up.
      tan_half_angle: of the horizontal field of view.
      size: width and height in pixels.
      samples: rays a pixel and axis, on a regular grid.

    Returns:
      uint8 [size, size, 4], RGB with straight alpha; black where nothing is seen.
    """
    image = np.zeros((size, size, 4), np.uint8)
    lo, hi = _screen_bounds(scene, camtoworld, tan_half_angle, size)
    steps = (np.arange(samples) + 0.5) / samples
    for top, left in itertools.product(range(0, size, TILE), repeat=2):
        corner = np.array([left, top])[:, None]
        seen = scene[((lo < corner + TILE) & (hi > corner)).all(axis=0)]
        if not len(seen):
            continue
        rows, columns = (np.arange(start, min(start + TILE, size)) for start in (top, left))
        # [samples down, samples across, rows, columns]
        y, x = np.broadcast_arrays(steps[:, None, None, None] + rows[:, None], steps[None, :, None, None] + columns)
        directions = camera_directions(x, y, camtoworld, tan_half_angle, size)
        color, hit = _trace(seen, sunlight, camtoworld[:3, 3:], directions.reshape(3, -1))
        planes = hit.reshape(samples**2, len(rows), len(columns))
        # One plane after the other, as the order of a numpy sum depends on the CPU.
        count = sum(planes.astype(float))
        total = [sum(channel.reshape(planes.shape)) for channel in color]
        # The mean of the samples that hit is the colour with straight alpha. It is taken of display colours, so that
        # a coarse pixel is the mean of the fine ones below it.
        rgba = np.stack([*(channel / np.maximum(count, 1.0) for channel in total), count / samples**2], axis=-1)
        image[top : top + TILE, left : left + TILE] = np.floor(rgba * 255.0 + 0.5)
    return image


def _trace(
    scene: np.ndarray, sunlight: Sunlight, origin: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Display colours [3, N], black where nothing is hit, and whether something is [N]."""
    t, row = first_hit(scene, origin, directions)
    hit = np.isfinite(t)
    color = np.zeros(directions.shape)
    if hit.any():
        towards = directions[:, hit]
        color[:, hit] = shade(scene[row[hit]], origin + t[hit] * towards, towards, sunlight)
    return color, hit
