"""Paths of a camera, for videos: a circle around the scene, a spiral before it, and away from it through the scales.

A path is a `Scene` whose images are black and take no memory. Poses [N, 3, 4] are camera to world, with the columns
right, up, back and position.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets import llff
from mipnerf.datasets.captures.photographs import Photographs, common_focus, place
from mipnerf.datasets.captures.poses import look_along
from mipnerf.datasets.load import load_scene, reader_of
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError, DataError

ELEVATION = np.radians(30)  # of the circle around a Blender scene, as in NeRF's videos
LEAST_UP = 1e-3  # of the cameras' mean up, and of the radius of their circle over their distance
ZOOM = 8.0  # the last image of the zoom has so many times fewer pixels a side: level 3 of the paper


class CameraPath(NamedTuple):
    """N cameras of one size, and the share of that size that each frame is rendered with."""

    scene: Scene
    scales: np.ndarray  # [N] in (0, 1]


class Orbit(NamedTuple):
    """A circle of cameras that look at `center`."""

    center: np.ndarray  # [3]
    up: np.ndarray  # [3], of unit length
    radius: float  # of the circle, around the axis through `center` along `up`
    height: float  # of the circle above `center`


def spherical_path(orbit: Orbit, num_poses: int) -> np.ndarray:
    """[num_poses, 3, 4]: once around, evenly; the last pose is a step before the first, so that a video can repeat."""
    # From the axis that is the farthest from up, which is x where z is up.
    axis = np.eye(3)[np.argmin(np.abs(orbit.up))]
    first = axis - (axis @ orbit.up) * orbit.up
    first /= np.linalg.norm(first)
    second = np.cross(orbit.up, first)
    angles = np.linspace(0, 2 * np.pi, num_poses, endpoint=False)[:, None]
    offsets = orbit.radius * (np.cos(angles) * first + np.sin(angles) * second) + orbit.height * orbit.up
    return np.stack([look_along(offset, orbit.up, orbit.center + offset) for offset in offsets])


def spherical_pose(theta: float, phi: float, radius: float) -> np.ndarray:
    """[3, 4]: a camera that looks at the origin from `radius` away, z up.

    `theta` is the azimuth in degrees, from x towards y; `phi` the elevation in degrees, within -90 and 90. Raises
    `ConfigError` for other elevations, and a radius that is not above 0.
    """
    if not (abs(phi) <= 90 and 0 < radius < np.inf and np.isfinite(theta)):
        raise ConfigError(
            f"angles {theta:g} {phi:g} {radius:g}: PHI must be within -90 and 90, and RADIUS must be above 0"
        )
    azimuth, elevation = np.radians([theta, phi])
    outwards = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    # At a pole, what is up on the image is where the camera came from.
    up = np.array([-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)])
    return look_along(outwards, up, radius * outwards)


def zoom_scales(num_poses: int) -> np.ndarray:
    """[num_poses] from 1 to 1 / `ZOOM`, each smaller by the same factor."""
    return ZOOM ** -np.linspace(0, 1, num_poses)


def camera_path(folder: Path, data: DataConfig, path: str, num_poses: int, num_levels: int = 1) -> CameraPath:
    """The cameras of a video of the scene in `folder`, as a run with `data` and `num_levels` reads it.

    `spherical` is a circle: around a Blender scene 30 degrees above the ground, at the distance of its first test
    view; around a capture at the mean height of its cameras, whose mean up is up. `spiral` (LLFF that faces forward),
    and the circle of a spherified LLFF, are those of the reference. `zoom` is the first test view, smaller and smaller.

    The zoom leaves the camera where it is and takes away pixels, as the coarser levels do: the cones widen in the same
    way, between the same near and far. From farther away they would be as wide, but would have to be sampled at other
    distances, and would show at the borders what no training view has seen.

    Raises `ConfigError` for a path that the scene does not have, and `DataError` for a bad scene.
    """
    capture = reader_of(folder, data)
    is_llff = capture is None and (folder / "poses_bounds.npy").exists() and not _is_blender(folder)
    known = ("spiral" if is_llff and not data.spherify else "spherical", "zoom")
    if path not in known:
        raise ConfigError(f"{folder} has no path {path!r}; it has {' and '.join(known)}")
    first = first_view(folder, data, num_levels)
    if path == "zoom":
        return CameraPath(_repeated(first, num_poses), zoom_scales(num_poses))
    ones = np.ones(num_poses)
    if is_llff:
        # A circle of the reference ends with its first pose, which a video that repeats would show twice.
        closing = int(data.spherify)
        scene = llff.render_path(folder, data, num_poses + closing)
        return CameraPath(scene.select(range(num_poses)), ones)
    orbit = _orbit_of_capture(capture(folder, data), data) if capture else _orbit_of_blender(first)
    return CameraPath(_with_poses(first, spherical_path(orbit, num_poses)), ones)


def first_view(folder: Path, data: DataConfig, num_levels: int) -> Scene:
    """The first test view at full resolution, of a pinhole: the one image to be read for a size and intrinsics."""
    return load_scene(folder, "test", num_levels, data, level=0, view=0).as_pinholes()


def _is_blender(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("metadata.json", "transforms_train.json"))


def _orbit_of_blender(first: Scene) -> Orbit:
    distance = float(np.linalg.norm(first.camtoworlds[0, :, 3]))
    up = np.array([0.0, 0.0, 1.0])
    return Orbit(np.zeros(3), up, distance * np.cos(ELEVATION), distance * np.sin(ELEVATION))


def _orbit_of_capture(photographs: Photographs, data: DataConfig) -> Orbit:
    """At the cameras' mean height and root mean square distance from where they look, as in a spherified LLFF."""
    poses = place(photographs, data)[0]
    center, distance = common_focus(poses)
    up = poses[:, :, 1].mean(0)
    length = np.linalg.norm(up)
    offsets = poses[:, :, 3] - center
    with np.errstate(invalid="ignore", divide="ignore"):
        up = up / length
        height = float((offsets @ up).mean())
        radius = np.sqrt(np.square(offsets).sum(-1).mean() - height**2)
    # Neither where they look at nothing in common, nor where their ups cancel, nor where they all look down.
    if not (length > LEAST_UP and radius > LEAST_UP * distance):
        raise DataError(f"{photographs.folder}: the cameras do not stand around anything; take the path zoom")
    return Orbit(center, up, float(radius), height)


def _repeated(view: Scene, count: int) -> Scene:
    """`count` times the one view, black."""
    scene = view.select([0] * count)
    black = [np.broadcast_to(np.uint8(0), (*view.images[0].shape[:2], 3))] * count
    names = [f"path/{i:03d}.png" for i in range(count)]
    return replace(scene, images=black, names=names, views=np.arange(count), max_value=255)


def _with_poses(view: Scene, poses: np.ndarray) -> Scene:
    """The one view, black, at each of the poses [N, 3, 4]."""
    return replace(_repeated(view, len(poses)), camtoworlds=poses)
