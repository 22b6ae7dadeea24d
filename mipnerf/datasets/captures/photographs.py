"""Captures of one's own: photographs with cameras, whatever file these stand in, as a scene.

`transforms` and `colmap` read the files; what they have in common is here: where the scene is placed, its near and
far, which views are test views, smaller images and coarser levels.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.conventions import MISTAKES, guess_mistake
from mipnerf.datasets.captures.lenses import reached_pixels
from mipnerf.datasets.captures.masks import mask_levels, read_mask
from mipnerf.datasets.captures.poses import nearest_point
from mipnerf.datasets.captures.pyramids import Pyramid, equalised, read_levels
from mipnerf.datasets.captures.reduced import find_reduced
from mipnerf.datasets.captures.sizes import fit_cameras, refuse_common_factor
from mipnerf.datasets.lens import Lens
from mipnerf.datasets.scene import (
    Item,
    Result,
    Scene,
    chosen_levels,
    evenly_spread,
    parallel,
    pix2cam_matrix,
)
from mipnerf.errors import ConfigError, DataError

log = logging.getLogger(__name__)

# The cameras of the Blender scenes are 4 away from their object, with near 2 and far 6.
MEAN_DISTANCE = 4.0
NEAR, FAR = 0.5, 1.5  # of the mean distance
UNBOUNDED_FAR = 1500  # of the mean distance, as good as infinity: 6000
MIN_DISTANCE, MAX_DISTANCE = 1e-12, 1e12  # in whatever unit the poses have
MAX_SIDE = 1 << 20  # pixels
MIN_FOCAL, MAX_FOCAL = 1e-3, 1e9  # pixels


class MissingImageError(DataError):
    """A camera is there, and its image, `name`, is not."""

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, eq=False)
class Photographs:
    """All N photographs of a capture, of all splits, and their cameras; no pixel is read yet."""

    folder: Path
    names: list[str]  # relative to the folder, such as images/0001.jpg
    camtoworlds: np.ndarray  # [N, 3, 4] float64, x right, y up, looking along -z (OpenGL)
    intrinsics: np.ndarray  # [N, 4] float64: fx, fy, cx, cy in pixels of the files
    sizes: np.ndarray  # [N, 2] int64: width and height of the files
    splits: dict[str, np.ndarray]  # indices of train, val and test
    lenses: list[Lens]
    masks: list[str | None]  # relative to the folder
    missing: list[str]  # names of images that are not there, whose cameras are left out
    # Nearest and farthest of what the cameras saw, in the unit of the poses, if that is known.
    depths: Callable[[], tuple[float, float] | None] = lambda: None


def load_photographs(
    photographs: Photographs,
    split: str,
    data: DataConfig,
    num_levels: int = 1,
    max_views: int | None = None,
    level: int | None = None,
    view: int | None = None,
    workers: int | None = None,
) -> Scene:
    """One split of a capture, placed and bounded as `place` says.

    Images are `data.factor` times smaller: those of images_{data.factor} where they can be used, else a pixel is the
    sum of those that it covers. With `num_levels` above 1, each view also has levels 1, 2, ..., each half of the last,
    of lossmult 4**level, in the order view 0 at levels 0, 1, ..., then view 1. Where a size does not divide, pixels are
    lost at the right and the bottom, and the others still look where they did. Photographs without alpha are opaque.
    Pixels that a mask hides, or that no ray reaches through the lens, do not count.

    `max_views` keeps that many views, evenly spread; `view` only that one, and `level` only that level. Other images
    are not read. Raises `DataError` for bad images, and `ConfigError` for a view or level that there is not.
    """
    if split not in photographs.splits:
        known = ", ".join(photographs.splits)
        raise DataError(f"{photographs.folder}: there is no split {split!r}; allowed are {known}")
    if num_levels < 1:
        raise ConfigError(f"levels must be at least 1, found {num_levels}")
    levels = np.array(chosen_levels(num_levels, level))
    indices = photographs.splits[split]
    if len(indices) == 0:
        raise DataError(f"{photographs.folder}: no photograph is left for {split}; at least 2 are needed to train")
    views = evenly_spread(len(indices), max_views, view)
    chosen = indices[views]
    camtoworlds, near, far = place(photographs, data)
    stated = photographs.sizes[chosen]
    if data.camera_scale == 1:
        refuse_common_factor([photographs.folder / name for name in photographs.names], photographs.sizes, chosen[0])
    photographs, reduction = with_reduced_images(photographs, data)
    paths = [photographs.folder / photographs.names[i] for i in chosen]
    intrinsics, sizes = fit_cameras(paths, photographs.intrinsics[chosen], photographs.sizes[chosen], data.camera_scale)

    def read(i: int) -> Pyramid:
        return read_levels(paths[i], sizes[i], reduction, num_levels, levels, modes=("RGB", "RGBA"))

    def read_masks(i: int) -> list[np.ndarray]:
        mask = read_mask(photographs.folder / mask_names[i], sizes[i], stated[i]) if mask_names[i] else None
        return mask_levels([mask, reached[i]], sizes[i], reduction, num_levels, levels, str(paths[i]))

    images, max_value = equalised(parallel(read, range(len(paths)), workers))
    own_lenses, mask_names = ([values[i] for i in chosen] for values in (photographs.lenses, photographs.masks))
    reached = reached_of_each(own_lenses, intrinsics, sizes)
    masked = range(len(paths)) if any(mask_names) or any(reach is not None for reach in reached) else ()
    masks = [mask for of_view in parallel(read_masks, masked, workers) for mask in of_view]
    lenses = [lens for lens in own_lenses for _ in levels]
    scales = reduction * 2**levels
    return Scene(
        images=images,
        camtoworlds=np.repeat(camtoworlds[chosen], len(levels), axis=0),
        pix2cams=np.stack([pix2cam_matrix(*camera / scale) for camera in intrinsics for scale in scales]),
        nears=np.full(len(images), near),
        fars=np.full(len(images), far),
        lossmults=np.tile(4.0**levels, len(chosen)),
        levels=np.tile(levels, len(chosen)),
        views=np.repeat(views, len(levels)),
        names=[photographs.names[i] for i in chosen for _ in levels],
        max_value=max_value,
        lenses=None if all(lens.is_pinhole for lens in lenses) else lenses,
        masks=None if all(mask.all() for mask in masks) else masks,
    )


def with_reduced_images(photographs: Photographs, data: DataConfig) -> tuple[Photographs, int]:
    """The capture with the images of images_{data.factor}, if these can be used, and what is left to reduce."""
    factor = max(data.factor, 1)
    if data.camera_scale != 1:
        return photographs, factor
    names, sizes = find_reduced(photographs.folder, photographs.names, photographs.sizes, factor)
    if names == photographs.names:
        return photographs, factor
    intrinsics = photographs.intrinsics * np.tile(sizes / photographs.sizes, 2)
    return replace(photographs, names=names, sizes=sizes, intrinsics=intrinsics), 1


def reached_of_each(lenses: Sequence[Lens], intrinsics: np.ndarray, sizes: np.ndarray) -> list[np.ndarray | None]:
    """By photograph, which pixels [H, W] a ray reaches through its lens (None: all); computed once for a camera."""
    of_camera: dict[tuple[object, ...], np.ndarray | None] = {}
    found = []
    for lens, values, size in zip(lenses, intrinsics, sizes, strict=True):
        camera = (lens, *values.tolist(), *size.tolist())
        if camera not in of_camera:
            of_camera[camera] = reached_pixels(lens, values, size)
        found.append(of_camera[camera])
    return found


def place(photographs: Photographs, data: DataConfig) -> tuple[np.ndarray, float, float]:
    """Camera-to-world [N, 3, 4], near and far, before `data.near` and `data.far`.

    With `data.normalize`, the point nearest to all optical axes comes to the origin, and the mean distance of the
    cameras from it becomes that of the Blender scenes, 4; nothing is turned. Near and far are those of what the
    cameras saw, where that is known, and else half and one and a half times that mean distance: 2 and 6. With
    `data.unbounded`, only near is; far is 1500 times that distance, 6000.

    Raises `DataError` where that point is needed and the cameras do not look at one.
    """
    poses = photographs.camtoworlds
    # What is given replaces these later: no rule is needed.
    is_given = data.near is not None and data.far is not None
    depths = (NEAR, FAR) if is_given else photographs.depths()
    is_far_known = is_given or not data.unbounded
    if depths and is_far_known and not data.normalize:
        return poses, *depths
    focus, distance = common_focus(poses)
    if not np.isfinite(focus).all():
        mistake = guess_mistake(poses)
        advice = f"; {MISTAKES[mistake]}, or" if mistake else ";"
        raise DataError(
            f"{photographs.folder}: the cameras do not look at a common point, by which the scene is placed and "
            f"bounded{advice} set data.normalize to false, data.near and data.far, or use the layout llff if they face "
            "forward"
        )
    scale = MEAN_DISTANCE / distance if data.normalize else 1.0
    near, far = np.multiply(depths or np.multiply((NEAR, FAR), distance), scale)
    if data.unbounded:
        far = UNBOUNDED_FAR * distance * scale
    if data.normalize:
        positions = (poses[:, :, 3] - focus) * scale
        poses = np.concatenate([poses[:, :, :3], positions[:, :, None]], axis=-1)
    return poses, float(near), float(far)


def common_focus(camtoworlds: np.ndarray) -> tuple[np.ndarray, float]:
    """The point nearest to all optical axes, and the cameras' mean distance from it; NaN if it is not before them."""
    positions, backs = camtoworlds[:, :, 3], camtoworlds[:, :, 2]
    with np.errstate(all="ignore"):
        backs = backs / np.linalg.norm(backs, axis=-1, keepdims=True)
        focus = nearest_point(positions, backs)
        depth = np.median(((positions - focus) * backs).sum(-1))
        distance = float(np.linalg.norm(positions - focus, axis=-1).mean())
    is_seen = MIN_DISTANCE < distance < MAX_DISTANCE and depth > 1e-6 * distance
    return (focus, distance) if is_seen else (np.full(3, np.nan), distance)


def holdout(num_images: int, llffhold: int) -> dict[str, np.ndarray]:
    """Indices of each split: every `llffhold`-th view, from the first on, is a test view (and one of val)."""
    is_test = np.arange(num_images) % llffhold == 0
    return {"train": np.flatnonzero(~is_test), "val": np.flatnonzero(is_test), "test": np.flatnonzero(is_test)}


def with_images(
    cameras: Sequence[Item], read: Callable[[Item], Result], data: DataConfig, where: str
) -> tuple[list[Result], list[str]]:
    """`read` of all `cameras` whose images are there, and the names of the other images, of which a warning tells.

    `where` begins the messages. Raises `MissingImageError` where `data.missing_images` refuses, or nothing is left.
    """
    found, missing = [], []
    for camera in cameras:
        try:
            found.append(read(camera))
        except MissingImageError as error:
            if data.missing_images == "refuse":
                advice = "or leave such cameras out by data.missing_images: skip"
                raise MissingImageError(f"{error}; {advice}", error.name) from None
            missing.append(error)
    if not found:
        raise missing[0]
    if missing:
        log.warning("%s: %d of %d images are not there and left out: %s", where, len(missing), len(cameras), missing[0])
    return found, [error.name for error in missing]


def check_intrinsics(
    intrinsics: np.ndarray,
    size: np.ndarray,
    where: str,
    names: tuple[str, str, str] = ("the focal lengths", "the principal point", "width and height"),
) -> None:
    """`DataError`, begun by `where`, unless fx, fy, cx, cy and the size [width, height] can be those of a camera.

    `names` are what these three pairs are called in the file.
    """
    fx, fy = intrinsics[:2]
    if not (MIN_FOCAL <= fx <= MAX_FOCAL and MIN_FOCAL <= fy <= MAX_FOCAL):
        raise DataError(f"{where}: {names[0]} must be above 0 and finite, found {fx:g} and {fy:g} pixels")
    if not (np.abs(intrinsics[2:]) <= MAX_FOCAL).all():
        raise DataError(f"{where}: {names[1]} must be finite, found {intrinsics[2]:g}, {intrinsics[3]:g}")
    if not ((size >= 1) & (size <= MAX_SIDE) & (size == np.round(size))).all():
        raise DataError(f"{where}: {names[2]} must be whole numbers above 0, found {size[0]:g} and {size[1]:g}")


def check_splits(names: Sequence[str], splits: dict[str, np.ndarray], where: str) -> None:
    """`DataError`, begun by `where`, if a photograph is both to be learnt and to be tested on."""
    train = {names[i] for i in splits["train"]}
    for split in ("val", "test"):
        for i in splits[split]:
            if names[i] in train:
                raise DataError(
                    f"{where}: {names[i]!r} is a view both of train and of {split}; leave it in one of them"
                )
