"""Poses that were written in another convention than camera to world, looking along -z."""

import numpy as np

from mipnerf.datasets.captures.poses import nearest_point

INWARD_SHARE = 0.95  # of the cameras have to look at a point for all of them to do
APART = 0.05  # of the distance to that point: cameras stand at least so far from each other
FLIP = np.diag([1.0, -1.0, -1.0])  # between the axes of OpenGL and of OpenCV
OPENCV = "negate their second and third column (y and z of the camera)"
MISTAKES = {
    "opencv": f"they look away from it, as poses in OpenCV's convention seem to do that are read in OpenGL's: {OPENCV}",
    "inverse": "they do once inverted, as if they were stored world to camera: invert them",
    "inverse opencv": f"they do as OpenCV's world to camera: invert them, then {OPENCV}",
}


def guess_mistake(camtoworlds: np.ndarray) -> str | None:
    """A key of `MISTAKES` for poses [N, 3, 4] that look at no common point as they are, but do in another convention.

    Nothing for fewer than 3 poses, and where no convention, or that of OpenGL, makes them do.
    """
    if len(camtoworlds) < 3 or looks_inward(camtoworlds):
        return None
    turned = camtoworlds[:, :, :3].swapaxes(1, 2)
    inverse = np.concatenate([turned, -turned @ camtoworlds[:, :, 3:]], axis=2)
    forms = {"opencv": flipped(camtoworlds), "inverse": inverse, "inverse opencv": flipped(inverse)}
    return next((name for name, poses in forms.items() if looks_inward(poses)), None)


def flipped(poses: np.ndarray) -> np.ndarray:
    """Poses [N, 3, 4] with their axes y and z negated."""
    return np.concatenate([poses[:, :, :3] @ FLIP, poses[:, :, 3:]], axis=2)


def looks_inward(poses: np.ndarray) -> bool:
    """Whether nearly all of the poses [N, 3, 4] look at the point nearest to their axes, and stand around it."""
    positions, backs = poses[:, :, 3], poses[:, :, 2]
    with np.errstate(all="ignore"):
        backs = backs / np.linalg.norm(backs, axis=-1, keepdims=True)
        focus = nearest_point(positions, backs)
        if not np.isfinite(focus).all():
            return False
        distances = np.linalg.norm(positions - focus, axis=-1)
        missed = np.linalg.norm(np.cross(positions - focus, backs), axis=-1)
        is_before = (((positions - focus) * backs).sum(-1) > 0) & (missed < distances / 2)
        # Poses that all stand in one point, but for rounding, look at nothing.
        least = max(distances.mean(), 1e-4 * np.abs(positions).max())
        is_apart = np.ptp(positions, axis=0).max() > APART * least and distances.mean() >= least
    return bool(is_before.mean() >= INWARD_SHARE and is_apart)
