"""The frames of a video: one camera path of one trained network, in shards, resumable at every frame.

Frames are kept in a folder whose name changes with the network and with every camera, so that none of another path or
network is ever taken for one of these. A shard's manifest, written when its frames are all there, says where they are.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from tqdm import tqdm

from mipnerf.cameras import Cameras
from mipnerf.config import DataConfig
from mipnerf.datasets.images import decode_png
from mipnerf.datasets.scene import read_bytes
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.shards import WHOLE, Shard
from mipnerf.files import atomic_path, write_text
from mipnerf.network.rendering import Rendering
from mipnerf.views.paths import CameraPath, camera_path
from mipnerf.views.renderer import MAX_SIDE, Renderer, color_picture, depth_picture

log = logging.getLogger(__name__)
FORMAT = 1  # of the pictures; another one is another fingerprint


def render_shard(
    model: Path,
    data_folder: Path,
    renderer: Renderer,
    path: str,
    num_frames: int,
    manifest: Path,
    shard: Shard = WHOLE,
    width: int | None = None,
) -> None:
    """Render the frames of a path that are in `shard` and not there yet; write `manifest`.

    Args:
        model: the `model.pt` that `renderer` holds.
        path: `spherical`, `spiral` or `zoom`, see `paths.camera_path`.
        manifest: JSON; the frames go to `frames/FINGERPRINT/` beside it, as RGB and depth side by side.
        width: pixels of the RGB half; default: as the images of the scene.
    """
    if num_frames < 1 or (width is not None and not 1 <= width <= MAX_SIDE):
        raise ConfigError(f"{num_frames} frames of width {width}: at least 1 frame, and a width from 1 to {MAX_SIDE}")
    run = renderer.trained.run
    track = camera_path(data_folder, run.data, path, num_frames, run.levels)
    canvas = canvas_size(track, width)
    cameras = cameras_of(renderer, track, canvas)
    folder = manifest.parent / "frames" / fingerprint(model, track, canvas)
    folder.mkdir(parents=True, exist_ok=True)
    frames = {i: folder / f"{i:05d}.png" for i in shard.of(num_frames)}
    missing = [i for i, file in frames.items() if not is_frame(file, canvas)]
    if len(missing) < len(frames):
        log.info("%d of %d frames are there already", len(frames) - len(missing), len(frames))
    near, far = float(track.scene.nears.min()), float(track.scene.fars.max())
    for i in tqdm(missing, desc=f"{run.name} {path}", unit="frame", mininterval=5):
        picture = frame_picture(renderer(cameras, i), canvas, near, far, run.data)
        with atomic_path(frames[i]) as temporary:
            iio.imwrite(temporary, picture)
    content = {
        "run": run.name,
        "path": path,
        "frames": num_frames,
        "indices": list(frames),
        "width": canvas[0],
        "height": canvas[1],
        "folder": folder.relative_to(manifest.parent).as_posix(),
    }
    write_text(manifest, json.dumps(content) + "\n")


def canvas_size(track: CameraPath, width: int | None) -> tuple[int, int]:
    """Width and height of every frame's RGB half."""
    full_width, full_height = int(track.scene.widths[0]), int(track.scene.heights[0])
    if width is None:
        return full_width, full_height
    return width, max(1, round(full_height * width / full_width))


def cameras_of(renderer: Renderer, track: CameraPath, canvas: Sequence[int]) -> Cameras:
    """The cameras of all frames; a smaller scale has a smaller image, with as much of a margin left on all sides."""
    cameras = renderer.cameras(track.scene)
    scales = torch.as_tensor(track.scales, device=renderer.device)[:, None]
    whole = torch.tensor(canvas, device=renderer.device)
    sizes = whole - 2 * torch.floor(whole * (1 - scales) / 2).long()
    return cameras.resized(scales[:, 0] * (canvas[0] / int(track.scene.widths[0])), sizes)


def fingerprint(model: Path, track: CameraPath, canvas: Sequence[int]) -> str:
    """Sixteen hexadecimal digits that change with the network, any camera, and what a frame looks like."""
    digest = hashlib.sha256(read_bytes(model))
    scene = track.scene
    for values in (scene.camtoworlds, scene.pix2cams, scene.nears, scene.fars, track.scales):
        # Shards may be rendered by machines whose cosines differ in the last bits; and -0 is 0.
        digest.update(np.ascontiguousarray(np.round(values, 7) + 0.0, dtype="<f8").data)
    digest.update(repr((FORMAT, scene.ndc, tuple(canvas))).encode())
    return digest.hexdigest()[:16]


def is_frame(file: Path, canvas: Sequence[int]) -> bool:
    """Whether `file` is a whole frame of this size."""
    try:
        return decode_png(read_bytes(file), file, modes=("RGB",)).shape == (canvas[1], 2 * canvas[0], 3)
    except DataError:
        return False


def frame_picture(rendering: Rendering, canvas: Sequence[int], near: float, far: float, data: DataConfig) -> np.ndarray:
    """uint8 [H, 2 W, 3]: RGB and depth side by side, each in the middle of W x H pixels of the background's colour."""
    halves = [color_picture(rendering), depth_picture(rendering, near, far, data.white_bkgd, data.unbounded)]
    return np.concatenate([_centered(half, canvas, 255 * data.white_bkgd) for half in halves], axis=1)


def _centered(picture: np.ndarray, canvas: Sequence[int], value: int) -> np.ndarray:
    """`picture` [h, w, 3] with as much of `value` on all sides as makes it [H, W, 3]; the margins are even."""
    rows, columns = canvas[1] - picture.shape[0], canvas[0] - picture.shape[1]
    margins = ((rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0))
    return np.pad(picture, margins, constant_values=value)
