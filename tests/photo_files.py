"""Photographs and videos of the bricks, as somebody with a phone would take them, and how far cameras are off."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mipnerf.datasets.bricks import _scene_and_sunlight, camera_poses
from mipnerf.datasets.raytrace import render

TAN_HALF_ANGLE = 0.36
FRAMES, TURN = 10, 40  # of the orbit of `camera_poses`: so many of so many, which overlap well


def take_pictures(size: int = 320, samples: int = 2) -> tuple[list[np.ndarray], np.ndarray]:
    """uint8 [size, size, 3] of the bricks on white from a part of an orbit, and the true poses [V, 4, 4]."""
    scene, sunlight = _scene_and_sunlight()
    poses = camera_poses("test", TURN)[:FRAMES]
    return [on_white(render(scene, sunlight, pose, TAN_HALF_ANGLE, size, samples)) for pose in poses], np.stack(poses)


def on_white(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of uint8 [H, W, 4]."""
    alpha = image[..., 3:] / 255
    return np.rint(image[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def write_photographs(pictures: Sequence[np.ndarray], folder: Path, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures, start=first):
        Image.fromarray(picture).save(folder / f"IMG {i:04d}.jpg", quality=95, subsampling=0)
    return folder


def write_video(pictures: Sequence[np.ndarray], path: Path, repeats: int = 1) -> Path:
    """An MP4 in which each picture is a frame; `repeats` adds so many blurred copies after each but one."""
    import imageio_ffmpeg

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    options = {"codec": "libx264", "quality": None, "macro_block_size": 2, "ffmpeg_log_level": "error"}
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=10, output_params=["-crf", "12"], **options)
    writer.send(None)
    for picture in pictures:
        small = Image.fromarray(picture).resize((width // 8, height // 8))
        blurred = np.asarray(small.resize((width, height)))
        for frame in [picture, *[blurred] * (repeats - 1)]:
            writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def rotation_between(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] after which the orientations of poses [V, 3, 4] are most like the true ones."""
    u, _, vt = np.linalg.svd((true[:, :3, :3] @ np.swapaxes(found[:, :3, :3], 1, 2)).sum(axis=0))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def deviations(found: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far poses [V, 3, 4] are from the true ones after a similarity: [V] of the mean distance, and [V] degrees.

    The rotation is that which suits the orientations best: a short arc of positions hardly tells it. The mean distance
    is that of the true cameras from the origin.
    """
    rotation = rotation_between(found, true)
    a, b = found[:, :3, 3] @ rotation.T, true[:, :3, 3]
    a, centred = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = (a * centred).sum() / (a**2).sum()
    off = np.linalg.norm(scale * a - centred, axis=1) / np.linalg.norm(b, axis=1).mean()
    between = np.swapaxes(rotation @ found[:, :3, :3], 1, 2) @ true[:, :3, :3]
    cosines = (np.trace(between, axis1=1, axis2=2) - 1) / 2
    return off, np.degrees(np.arccos(np.clip(cosines, -1, 1)))
