"""Pictures of a trained network from any camera, at any number of pixels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import imageio.v3 as iio
import matplotlib as mpl
import numpy as np
import torch

from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.captures.photographs import MAX_FOCAL, MIN_FOCAL
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.scene import (
    MAX_CAMERA_BYTES,
    Scene,
    check_poses,
    finite_array,
    pinhole_pix2cam,
    read_bytes,
    require,
)
from mipnerf.devices import resolve_device, resolve_precision
from mipnerf.errors import ConfigError, DataError
from mipnerf.evaluation.views import Trained, load_trained, share_of_depth, to_uint8
from mipnerf.files import atomic_path
from mipnerf.network.choice import choose_for_rendering
from mipnerf.network.rendering import Rendering, render_image
from mipnerf.threads import available_cpus
from mipnerf.workers import Workers

DEPTH_COLORS = "viridis"  # perceptually uniform
MAX_SIDE = 1 << 14  # pixels


@dataclass(frozen=True, eq=False)
class Renderer:
    """A trained network on its device, and how it is computed there."""

    trained: Trained
    device: torch.device
    precision: torch.dtype
    chunk_rays: int
    workers: Workers

    @classmethod
    def open(cls, model: Path, operation: OperationConfig, threads: int = 0) -> Self:
        """The network in a `model.pt`; `CheckpointError` if it is none. `threads` 0: all CPUs."""
        device = resolve_device(operation.device)
        trained = load_trained(model, device)
        precision = resolve_precision(trained.run.train.precision, device)
        network = choose_for_rendering(trained.model, operation, device, precision)
        # Triton's interpreter, which computes the kernels on a CPU, is not for threads.
        workers = Workers(1 if network == "fused" else threads or available_cpus(), device)
        return cls(trained, device, precision, operation.render_rays, workers)

    def cameras(self, scene: Scene) -> Cameras:
        """The cameras of `scene` on the device, as the evaluation makes them."""
        return Cameras.from_scene(scene, self.device, self.trained.run.data)

    def __call__(self, cameras: Cameras, view: int) -> Rendering:
        """What a view of `cameras` shows, as the evaluation renders it."""
        width, height = cameras.sizes[view].tolist()
        data = self.trained.run.data
        return render_image(
            self.trained.model,
            cameras,
            view,
            height,
            width,
            data.white_bkgd,
            self.precision,
            self.chunk_rays,
            self.workers,
        )


def scaled(cameras: Cameras, scale: float) -> Cameras:
    """`cameras` with `scale` times as many pixels a side, rounded, and cones as much narrower.

    Level L of a dataset has the scale 0.5**L. Raises `ConfigError` where no pixel or far too many would come of it.
    """
    sizes = torch.round(cameras.sizes * scale).to(cameras.sizes.dtype)
    if not (sizes.min() >= 1 and sizes.max() <= MAX_SIDE):
        width, height = (cameras.sizes[0] * scale).tolist()
        raise ConfigError(f"scale {scale:g} makes {width:g} x {height:g} pixels; sides may have 1 to {MAX_SIDE}")
    return cameras.resized(torch.full_like(cameras.radii, scale), sizes)


def load_view(folder: Path, run: RunConfig, view: int = 0, level: int = 0) -> Scene:
    """One test view of a scene as `run` is evaluated on it; no other image is read."""
    return load_scene(folder, "test", run.levels, run.data, level=level, view=view)


def write_view(
    renderer: Renderer, scene: Scene, base: Scene | None, scale: float, output: Path, depth: Path | None = None
) -> None:
    """Render the one view of `scene` at `scale` to a PNG file, and its distances to a PNG or NPY file `depth`.

    Distances are along the rays in units of their direction. In NDC, the image plane is that of `base`, a view that
    the network was trained or tested on.
    """
    for file, suffixes in ((output, (".png",)), (depth, (".png", ".npy"))):
        if file is not None and file.suffix.lower() not in suffixes:
            raise ConfigError(f"{file} must end with {' or '.join(suffixes)}")
    cameras = renderer.cameras(scene)
    if base is not None:
        cameras = replace(cameras, planes=renderer.cameras(base).planes)
    cameras = scaled(cameras, scale)
    rendering = renderer(cameras, 0)
    with atomic_path(output) as temporary:
        iio.imwrite(temporary, color_picture(rendering))
    if depth is None:
        return
    with atomic_path(depth) as temporary:
        if depth.suffix.lower() == ".npy":
            np.save(temporary, rendering.distance.cpu().numpy())
        else:
            near, far = float(scene.nears[0]), float(scene.fars[0])
            data = renderer.trained.run.data
            iio.imwrite(temporary, depth_picture(rendering, near, far, data.white_bkgd, data.unbounded))


def color_picture(rendering: Rendering) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return to_uint8(rendering.rgb)


def depth_picture(
    rendering: Rendering, near: float, far: float, white_bkgd: bool, unbounded: bool = False
) -> np.ndarray:
    """uint8 [H, W, 3]: the distance from `near` (dark) to `far` (bright), fading to the background where nothing is.

    Of an `unbounded` scene, the scale is even in disparity.
    """
    share = share_of_depth(rendering.distance, near, far, unbounded).cpu().numpy()
    colors = mpl.colormaps[DEPTH_COLORS](share)[..., :3]
    acc = rendering.acc.clamp(0, 1).cpu().numpy()[..., None]
    return np.rint(255 * (colors * acc + float(white_bkgd) * (1 - acc))).astype(np.uint8)


def read_pose(path: Path) -> np.ndarray:
    """[3, 4] camera to world of a text or JSON file: a 3x4 or 4x4 matrix, in JSON also as `transform_matrix`.

    The camera looks along -z, x to the right and y up, in the coordinates of the scene as it is loaded. Raises
    `DataError` for anything else.
    """
    text = read_bytes(path, MAX_CAMERA_BYTES).decode("utf-8", errors="replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
        try:
            content = [[float(word) for word in row] for row in content]
        except ValueError:
            raise DataError(f"{path}: neither JSON nor rows of numbers; give a 3x4 or 4x4 matrix") from None
    if isinstance(content, Mapping):
        content = require(content, "transform_matrix", list, str(path))
    rows = content if isinstance(content, list) else []
    if len(rows) == 3:
        rows = [*rows, [0.0, 0.0, 0.0, 1.0]]
    pose = finite_array(rows, (4, 4), f"{path}: the matrix, 3x4 or 4x4,")
    check_poses(pose[None], lambda _: f"{path}: the matrix", rigid=True)
    return pose[:3]


def free_view(base: Scene | None, pose: np.ndarray | None, given: Mapping[str, Any]) -> Scene:
    """The one view `base`, or a new one, with another pose [3, 4] and what is not None of `given`.

    That are width, height and focal (pixels; the principal point is then the middle), near and far. Another view than
    `base` is that of a pinhole. Raises `ConfigError` for what is neither given nor in a `base`.
    """
    given = {key: value for key, value in given.items() if value is not None}
    for key in ("width", "height"):
        if not 1 <= given.get(key, 1) <= MAX_SIDE:
            raise ConfigError(f"--{key} must be at least 1 and at most {MAX_SIDE}, found {given[key]}")
    if not MIN_FOCAL <= given.get("focal", 1) <= MAX_FOCAL:
        raise ConfigError(f"--focal must be above 0 and finite, found {given['focal']:g} pixels")
    if given.get("near", 0) < 0 or given.get("far", 1) == float("inf"):
        raise ConfigError("--near must be at least 0, and --far finite")
    if base is None:
        missing = {"width", "height", "focal", "near", "far"} - given.keys()
        if pose is None or missing:
            names = " ".join(f"--{name}" for name in ("width", "height", "focal", "near", "far") if name in missing)
            raise ConfigError(
                "without the data of the run, a camera has to be described: "
                + " and ".join(filter(None, [names, "--pose or --spherical" if pose is None else ""]))
                + "; or name the scene's folder by --data"
            )
        image = np.zeros((given["height"], given["width"], 3), np.uint8)
        base = Scene(
            images=[image],
            camtoworlds=pose[None],
            pix2cams=pinhole_pix2cam(given["focal"], given["width"], given["height"])[None],
            nears=np.full(1, given["near"]),
            fars=np.full(1, given["far"]),
            lossmults=np.ones(1),
            levels=np.zeros(1, dtype=np.int64),
            views=np.zeros(1, dtype=np.int64),
            names=["camera"],
        )
    elif given.keys() & {"width", "height", "focal"}:
        width, height = given.get("width", int(base.widths[0])), given.get("height", int(base.heights[0]))
        focal = given.get("focal", 1 / base.pix2cams[0, 0, 0])
        image = np.zeros((height, width, 3), np.uint8)
        base = replace(base.as_pinholes(), images=[image], pix2cams=pinhole_pix2cam(focal, width, height)[None])
    if pose is not None:
        base = replace(base.as_pinholes(), camtoworlds=pose[None])
    return base.with_bounds(given.get("near"), given.get("far"))
