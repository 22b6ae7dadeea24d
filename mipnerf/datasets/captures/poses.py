"""Cameras of captures: their frame, and paths for videos.

Poses [N, 3, 4] are camera to world, with the columns right, up, back and position. The functions follow the methods of
`LLFF` in google/mipnerf (internal/datasets.py), also where those compute in float32.
"""

import numpy as np

# The nearest point of any view comes to 1 / BD_FACTOR, behind the near plane of NDC at 1.
BD_FACTOR = 0.75
ROUNDED = 1e-4  # what four digits leave of a rotation


def scale_poses(matrices: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 poses and bounds [N, 2], scaled together, of `matrices` with the columns down, right, back, position."""
    down, right, back, position = np.moveaxis(matrices, -1, 0)
    poses = np.stack([right, -down, back, position], axis=-1).astype(np.float32)
    bounds = bounds.astype(np.float32)
    scale = np.float32(1 / (np.float64(bounds.min()) * BD_FACTOR))
    poses[:, :, 3] *= scale
    return poses, bounds * scale


def recenter_poses(poses: np.ndarray) -> np.ndarray:
    """float32 poses relative to their average (`_recenter_poses`)."""
    return (np.linalg.inv(_to_square(average_pose(poses))) @ _to_square(poses))[:, :3].astype(np.float32)


def average_pose(poses: np.ndarray) -> np.ndarray:
    """[3, 4]: mean position, and the rotation that looks along the mean direction (`_poses_avg`)."""
    return look_along(poses[:, :, 2].sum(0), poses[:, :, 1].sum(0), poses[:, :, 3].mean(0))


def nearest_rotations(matrices: np.ndarray) -> tuple[np.ndarray, float]:
    """`matrices` [N, 3 or 4, 4] with the rotations next to theirs, and how far an axis was from unit length, at most.

    Rotations whose axes are off by less than `ROUNDED` stay as they are, to the bit.
    """
    left, stretch, right = np.linalg.svd(matrices[:, :3, :3])
    off = np.abs(stretch - 1).max(axis=1)
    turned = matrices.copy()
    turned[:, :3, :3] = np.where(off[:, None, None] > ROUNDED, left @ right, matrices[:, :3, :3])
    return turned, float(off.max())


def look_along(back: np.ndarray, up: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The pose [3, 4] at `position`, looking along -`back`, its up as near to `up` as that allows (`_viewmatrix`)."""
    back = _normalize(back)
    right = _normalize(np.cross(up, back))
    return np.stack([right, _normalize(np.cross(back, right)), back, position], axis=1)


def spherify_poses(poses: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 poses around the origin at a root mean square distance of 1, z up, and float32 bounds scaled with them.

    The origin is the point nearest to all lines of sight, up the mean direction from it to the cameras
    (`_generate_spherical_poses`). Not finite where the lines of sight have no such point.
    """
    center = nearest_point(poses[:, :, 3], poses[:, :, 2])
    up = _normalize((poses[:, :, 3] - center).mean(0))
    right = _normalize(np.cross([0.1, 0.2, 0.3], up))
    frame = np.stack([right, _normalize(np.cross(up, right)), up, center], axis=1)
    poses = (np.linalg.inv(_to_square(frame)) @ _to_square(poses))[:, :3]
    scale = 1 / np.sqrt(np.mean(np.sum(poses[:, :, 3] ** 2, axis=-1)))
    poses[:, :, 3] *= scale
    return poses, bounds * np.float32(scale)


def nearest_point(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """[3]: least squares of the distances to the lines through `origins` along the unit `directions`, both [N, 3]."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    matrix = (np.swapaxes(across, 1, 2) @ across).mean(0)
    if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e9:  # parallel lines
        return np.full(3, np.nan)
    return np.linalg.inv(matrix) @ (across @ origins[:, :, None]).mean(0)[:, 0]


def spiral_path(poses: np.ndarray, bounds: np.ndarray, num_poses: int) -> np.ndarray:
    """float32 [num_poses, 3, 4]: two turns of a spiral that looks at the depth in focus (`_generate_spiral_poses`)."""
    average = average_pose(poses)
    up = _normalize(poses[:, :, 1].sum(0))
    # Three quarters of the way to the far end, in disparity.
    near, far = float(bounds.min()) * 0.9, float(bounds.max()) * 5
    focus = 1 / (0.25 / near + 0.75 / far)
    radii = np.percentile(np.abs(poses[:, :, 3]).astype(np.float64), 90, axis=0)
    path = []
    for angle in np.linspace(0, 4 * np.pi, num_poses, endpoint=False):
        offset = np.array([np.cos(angle), -np.sin(angle), -np.sin(angle / 2)]) * radii
        position = average @ np.append(offset, 1)
        path.append(look_along(position - average @ [0, 0, -focus, 1], up, position))
    return np.stack(path).astype(np.float32)


def spherical_path(poses: np.ndarray, num_poses: int) -> np.ndarray:
    """[num_poses, 3, 4]: a circle at the mean height of spherified poses, looking at the origin; the ends meet."""
    height = poses[:, 2, 3].mean()
    radius = np.sqrt(np.mean(np.sum(poses[:, :, 3] ** 2, axis=-1)) - height**2)
    path = []
    for angle in np.linspace(0, 2 * np.pi, num_poses):
        position = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
        path.append(look_along(position, np.array([0.0, 0.0, 1.0]), position))
    return np.stack(path)


def _normalize(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _to_square(poses: np.ndarray) -> np.ndarray:
    """[..., 4, 4] float64 of [..., 3, 4]."""
    bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*poses.shape[:-2], 1, 4))
    return np.concatenate([poses, bottom], axis=-2)
