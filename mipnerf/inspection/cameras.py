"""Where the cameras of a scene are and what they see, as numbers.

Lengths are in the units of the scene, angles in degrees. Functions take a `Scene` whose V views are those of one
resolution level; pixels are not looked at.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from mipnerf.datasets.captures.conventions import INWARD_SHARE
from mipnerf.datasets.captures.poses import nearest_point
from mipnerf.datasets.lens import Coefficients, is_reached, rays_through, seen_through
from mipnerf.datasets.scene import Scene, evenly_spread

GRID, DEPTHS = 5, 8  # points of a frustum: so many across, down, and from near to far
SHOWN_NEARS = 10  # where far stands for infinity; twice the mean distance by the rule for photographs
SHIFT_GRID, PINHOLE_ANGLE = 41, 60.0  # points a side where a lens is looked at, and degrees from its axis
MAX_CAMERAS = 100  # that are compared pair by pair
NDC_NEAR = 1.0  # distance of the near plane of normalised device coordinates, along -z
CHUNK = 256  # poses compared at a time
FORWARD_ANGLE = 45.0  # cameras that turn less than this from their mean direction face forward


def cameras_of(scene: Scene) -> Scene:
    """The full-resolution cameras of `scene`, without its pixels: the images are black and take no memory."""
    cameras = scene.at_level(0)
    return replace(cameras, images=[np.broadcast_to(np.uint8(0), image.shape) for image in cameras.images])


def positions(scene: Scene) -> np.ndarray:
    """[V, 3]."""
    return scene.camtoworlds[:, :, 3]


def axes(scene: Scene) -> np.ndarray:
    """[V, 3]: unit vectors along which the cameras look."""
    return -scene.camtoworlds[:, :, 2] / np.linalg.norm(scene.camtoworlds[:, :, 2], axis=-1, keepdims=True)


def focal_lengths(scene: Scene) -> np.ndarray:
    """[V]: pixels."""
    return 1 / np.linalg.norm(scene.pix2cams[:, :, 0], axis=-1)


def fields_of_view(scene: Scene) -> np.ndarray:
    """[V, 2]: angles between the left and the right edge, and between the upper and the lower."""
    width, height, zero = scene.widths, scene.heights, np.zeros(scene.num_views)
    edges = [[zero, height / 2], [width, height / 2], [width / 2, zero], [width / 2, height]]
    rays = camera_rays(scene, np.moveaxis(np.array(edges), -1, 0)).swapaxes(0, 1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip((rays[::2] * rays[1::2]).sum(-1), -1, 1))).T


def lens_shifts(scene: Scene) -> np.ndarray:
    """[V]: pixels, at most, between where a ray meets the image and where it would through a pinhole; 0 without lenses.

    Of rays up to `PINHOLE_ANGLE` from the axis: beyond, a pinhole's image has no end.
    """
    shifts = np.zeros(scene.num_views)
    for i, lens in enumerate(scene.lenses or ()):
        if lens.is_pinhole:
            continue
        edges = [np.linspace(0, side, SHIFT_GRID) for side in (scene.widths[i], scene.heights[i])]
        pixels = np.stack([*np.meshgrid(*edges), np.ones((SHIFT_GRID, SHIFT_GRID))], axis=-1).reshape(-1, 3)
        plane = pixels @ scene.pix2cams[i].T
        row = Coefficients(*lens.row())
        with np.errstate(all="ignore"):  # of pixels that no ray reaches
            is_seen = is_reached(row, plane[:, 0], -plane[:, 1])
            rays = rays_through([lens], plane[None])[0]
            straight = rays / -rays[:, 2:] @ np.linalg.inv(scene.pix2cams[i]).T
            is_seen &= -rays[:, 2] > np.cos(np.radians(PINHOLE_ANGLE)) * np.linalg.norm(rays, axis=-1)
            off = np.linalg.norm((straight - pixels)[:, :2], axis=-1)
        shifts[i] = off[is_seen].max(initial=0.0)
    return shifts


def focus_point(scene: Scene) -> np.ndarray:
    """[3]: the point nearest to all optical axes; not finite where they are parallel."""
    return nearest_point(positions(scene), axes(scene))


def viewing(scene: Scene) -> str:
    """`forward`, `inward`, `outward` or `mixed`: how the cameras stand to each other."""
    directions = axes(scene)
    mean = directions.mean(axis=0)
    if angles_between(directions, mean).max() < FORWARD_ANGLE:
        return "forward"
    focus = focus_point(scene)
    if not np.isfinite(focus).all():
        return "mixed"
    in_front = ((focus - positions(scene)) * directions).sum(-1) > 0
    if in_front.mean() >= INWARD_SHARE:
        return "inward"
    return "outward" if in_front.mean() <= 1 - INWARD_SHARE else "mixed"


def angles_between(directions: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[V]: degrees between unit `directions` [V, 3] and `other` [3]; 180 where that is zero."""
    length = np.linalg.norm(other)
    if length == 0:
        return np.full(len(directions), 180.0)
    return np.degrees(np.arccos(np.clip(directions @ other / length, -1, 1)))


def neighbour_distances(scene: Scene) -> np.ndarray:
    """[K]: from each of at most `MAX_CAMERAS` cameras, evenly spread, to the nearest other one; empty for a single."""
    points = positions(scene)
    chosen = evenly_spread(len(points), MAX_CAMERAS)
    distances = np.linalg.norm(points[chosen, None] - points, axis=-1)
    distances[np.arange(len(chosen)), chosen] = np.inf
    return distances.min(axis=1) if len(points) > 1 else np.empty(0)


def nearest_poses(scene: Scene, other: Scene) -> tuple[np.ndarray, np.ndarray]:
    """For each camera of `scene`, the distance [V] to the nearest other pose among those of `other`, and its index [V].

    The distance is that of the twelve numbers of a pose, with the farthest camera at 1; infinite where there is none. A
    scene may be compared with itself.
    """
    scale = max(np.abs(positions(s)).max() for s in (scene, other)) or 1.0
    flat, others = (
        np.concatenate([s.camtoworlds[:, :, :3].reshape(-1, 9), positions(s) / scale], axis=1) for s in (scene, other)
    )
    distances, indices = np.empty(len(flat)), np.empty(len(flat), dtype=np.int64)
    for start in range(0, len(flat), CHUNK):
        part = slice(start, start + CHUNK)
        squares = (flat[part] ** 2).sum(1)[:, None] + (others**2).sum(1) - 2 * flat[part] @ others.T
        if scene is other:
            squares[np.arange(len(squares)), np.arange(start, start + len(squares))] = np.inf
        indices[part] = squares.argmin(axis=1)
        distances[part] = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return distances, indices


def frustum_points(scene: Scene) -> np.ndarray:
    """[V, N, 3]: points of each frustum, in the middle of equal parts of the image and of the way from near to far."""
    fractions = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(fractions, fractions)
    pixels = np.stack([x.ravel() * scene.widths[:, None], y.ravel() * scene.heights[:, None]], axis=-1)
    steps = (np.arange(DEPTHS) + 0.5) / DEPTHS
    return along_rays(scene, pixels, scene.nears[:, None] + (shown_fars(scene) - scene.nears)[:, None] * steps).reshape(
        scene.num_views, -1, 3
    )


def camera_rays(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    """[V, P, 3]: directions of the pixels [V, P, 2] of each view before its camera, x right, y up, looking along -z."""
    homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], axis=-1)
    plane = np.einsum("vij,vpj->vpi", scene.pix2cams, homogeneous)
    return plane if scene.lenses is None else rays_through(scene.lenses, plane)


def shown_fars(scene: Scene) -> np.ndarray:
    """[V]: far along the rays, or where it stands for infinity, what leaves something to see of the cameras."""
    return np.minimum(scene.fars, SHOWN_NEARS * scene.nears) if scene.unbounded else scene.fars


def along_rays(scene: Scene, pixels: np.ndarray, t: np.ndarray) -> np.ndarray:
    """[V, P, D, 3]: world points of the pixels [V, P, 2] of each view at the distances `t` [V, D] of its rays.

    `t` counts in lengths of the ray's direction, or in NDC from the near plane (0) to infinity (1).
    """
    directions = np.einsum("vij,vpj->vpi", scene.camtoworlds[:, :, :3], camera_rays(scene, pixels))
    origins = positions(scene)[:, None]
    steps = np.broadcast_to(t[:, None], (*pixels.shape[:2], t.shape[1]))
    if scene.ndc:
        depth = -NDC_NEAR / np.maximum(1 - steps, 1e-9)
        with np.errstate(divide="ignore"):
            steps = (depth - origins[..., 2:]) / directions[..., 2:]
    return origins[:, :, None] + directions[:, :, None] * steps[..., None]


def seen(scene: Scene, view: int, points: np.ndarray) -> np.ndarray:
    """[...] bool: whether the points [..., 3] lie in the image of camera `view` and between its bounds."""
    pose = scene.camtoworlds[view]
    local, to_pixels = (points - pose[:, 3]) @ np.linalg.inv(pose[:, :3]).T, np.linalg.inv(scene.pix2cams[view]).T
    if scene.lenses is not None and not scene.lenses[view].is_pinhole:
        local = seen_through(scene.lenses[view], local)
    local = local @ to_pixels
    depth = local[..., 2]
    x, y = (local[..., i] / np.where(depth > 0, depth, np.nan) for i in (0, 1))
    is_inside = (depth > 0) & (x >= 0) & (x <= scene.widths[view]) & (y >= 0) & (y <= scene.heights[view])
    t = 1 + NDC_NEAR / np.minimum(points[..., 2], -1e-9) if scene.ndc else depth
    return is_inside & (t >= scene.nears[view]) & (t <= scene.fars[view])


def seen_by(scene: Scene, points: np.ndarray) -> np.ndarray:
    """[V, ...] bool: `seen` for every camera of `scene`."""
    with np.errstate(invalid="ignore"):
        return np.stack([seen(scene, view, points) for view in range(scene.num_views)])


def overlap(scene: Scene) -> dict[str, float] | None:
    """How far the frusta of at most `MAX_CAMERAS` cameras, evenly spread, share what they see; nothing for one camera.

    `pairs`: share of the pairs of cameras of which one sees some of the other's frustum; `share`: of the other cameras,
    the median over all points of the frusta of those that see the point.
    """
    chosen = scene.select(evenly_spread(scene.num_views, MAX_CAMERAS))
    if chosen.num_views < 2:
        return None
    others = chosen.num_views - 1
    is_seen = seen_by(chosen, frustum_points(chosen))
    meets = is_seen.any(axis=-1)
    pairs = np.triu(meets | meets.T, k=1).sum() / (chosen.num_views * others / 2)
    return {"pairs": float(pairs), "share": float(np.median(is_seen.sum(axis=0) - 1) / others)}


def coverage(train: Scene, other: Scene) -> np.ndarray:
    """[V of other]: the share of each frustum that at least two training cameras see."""
    chosen = train.select(evenly_spread(train.num_views, MAX_CAMERAS))
    return (seen_by(chosen, frustum_points(other)).sum(axis=0) >= 2).mean(axis=-1)


def is_alone(scene: Scene) -> np.ndarray:
    """[V] bool: whether no other camera (of at most `MAX_CAMERAS`, evenly spread) sees any of its frustum."""
    chosen = evenly_spread(scene.num_views, MAX_CAMERAS)
    meets = np.asarray(seen_by(scene.select(chosen), frustum_points(scene)).any(axis=-1))
    meets[np.arange(len(chosen)), chosen] = False
    return np.logical_not(meets.any(axis=0))


def contained_radius(scene: Scene) -> float:
    """The largest sphere around the focus point that lies between near and far of every camera."""
    depth = ((focus_point(scene) - positions(scene)) * axes(scene)).sum(-1)
    return float(np.minimum(depth - scene.nears, scene.fars - depth).min())


def visible_radius(scene: Scene) -> float:
    """The sphere around the focus point that fills the smaller side of the image of the median camera."""
    distance = np.linalg.norm(focus_point(scene) - positions(scene), axis=-1)
    return float(np.median(distance * np.sin(np.radians(fields_of_view(scene).min(axis=1)) / 2)))


def spread_of(values: np.ndarray) -> dict[str, float]:
    """Least, median and greatest of `values`."""
    return {"min": float(np.min(values)), "median": float(np.median(values)), "max": float(np.max(values))}


def camera_facts(scene: Scene) -> dict[str, Any]:
    """What there is to say of the cameras; `focus` and what needs it are None where the axes are parallel."""
    points, focus = positions(scene), focus_point(scene)
    has_focus = bool(np.isfinite(focus).all())
    neighbours = neighbour_distances(scene)
    return {
        "viewing": viewing(scene),
        "focal_length": spread_of(focal_lengths(scene)),
        "lens_shift": float(lens_shifts(scene).max()),
        "field_of_view": np.median(fields_of_view(scene), axis=0).tolist(),
        "distance_from_origin": spread_of(np.linalg.norm(points, axis=-1)),
        "focus": focus.tolist() if has_focus else None,
        "distance_from_focus": spread_of(np.linalg.norm(points - focus, axis=-1)) if has_focus else None,
        "extent": np.ptp(points, axis=0).tolist(),
        "neighbour_distance": spread_of(neighbours) if len(neighbours) else None,
        "turned_from_mean": float(angles_between(axes(scene), axes(scene).mean(axis=0)).max()),
        "overlap": overlap(scene),
        "near": spread_of(scene.nears),
        "far": spread_of(scene.fars),
        "ndc": scene.ndc,
        "contained_radius": contained_radius(scene) if has_focus and not scene.ndc else None,
        "visible_radius": visible_radius(scene) if has_focus and not scene.ndc else None,
    }
