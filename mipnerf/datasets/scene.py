"""A scene as plain arrays, and the checked reading that every loader shares."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from mipnerf.datasets.lens import Lens
from mipnerf.errors import ConfigError, DataError
from mipnerf.threads import available_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")

SHOWN_BYTES = 40
RIGID_TOLERANCE = 0.05  # of the length of axes: poses are often written with few digits, or slightly scaled
# No scene comes near these; what does is damaged or something else, and would only fill the memory.
MAX_IMAGE_BYTES = 1 << 30  # Pillow's limit of pixels, uncompressed
MAX_CAMERA_BYTES = 64 << 20  # of metadata.json: four levels of 12,000 views; parsing takes ten times as much memory
MAX_IMAGES = 100_000  # in one split, with all levels


@dataclass(frozen=True, eq=False)
class Scene:
    """Posed images of one split; V views, of which a multiscale dataset has one per level.

    A pixel (x, y) of view i is seen along `camtoworlds[i, :, :3] @ pix2cams[i] @ (x + .5, y + .5, 1)`, not normalised;
    with lenses, what `pix2cams` make of it is where the view's lens distorts the ray to.
    """

    images: list[np.ndarray]  # per view uint8 or uint16 [H, W, 4] (RGBA, straight alpha) or [H, W, 3]
    camtoworlds: np.ndarray  # [V, 3, 4] float64
    pix2cams: np.ndarray  # [V, 3, 3] float64
    nears: np.ndarray  # [V] float64, along the unnormalised direction
    fars: np.ndarray  # [V] float64
    lossmults: np.ndarray  # [V] float64, weight of a pixel in the loss
    levels: np.ndarray  # [V] int64, 0 = full resolution
    views: np.ndarray  # [V] int64, which picture of the split this is, whatever its level
    names: list[str]  # file names relative to the scene folder
    max_value: int = 255  # pixel value that stands for 1
    ndc: bool = False  # rays are to be taken to normalised device coordinates
    lenses: list[Lens] | None = None  # per view; None where all are pinholes
    masks: list[np.ndarray] | None = None  # per view bool [H, W], whether a pixel counts; None where all do
    unbounded: bool = False  # far stands for infinity: distances are shown and stored by their disparity

    def __post_init__(self) -> None:
        views = len(self.images)
        shapes = {"camtoworlds": (views, 3, 4), "pix2cams": (views, 3, 3), "names": (views,)}
        shapes |= dict.fromkeys(("nears", "fars", "lossmults", "levels", "views"), (views,))
        for name, shape in shapes.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} of {views} views has shape {np.shape(getattr(self, name))}, expected {shape}")
        for name, image in zip(self.names, self.images, strict=True):
            if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3 or image.shape[2] not in (3, 4):
                raise ValueError(f"{name}: {image.dtype} {image.shape} is not uint8 or uint16 [H, W, 3 or 4]")
        if self.lenses is not None and len(self.lenses) != views:
            raise ValueError(f"{len(self.lenses)} lenses of {views} views")
        if self.masks is not None and [m.shape for m in self.masks] != [i.shape[:2] for i in self.images]:
            raise ValueError("masks must have the heights and widths of the images")

    @property
    def num_views(self) -> int:
        return len(self.images)

    @property
    def widths(self) -> np.ndarray:
        """[V] int64, pixels."""
        return np.array([image.shape[1] for image in self.images], dtype=np.int64)

    @property
    def heights(self) -> np.ndarray:
        """[V] int64, pixels."""
        return np.array([image.shape[0] for image in self.images], dtype=np.int64)

    @property
    def num_pixels(self) -> int:
        """Pixels of all views together, the number of rays."""
        return int((self.widths * self.heights).sum())

    def select(self, indices: Sequence[int] | np.ndarray) -> "Scene":
        """The views `indices` (or those where a boolean mask is true), in that order; pixels are shared, not copied."""
        chosen = np.arange(self.num_views)[np.asarray(indices)]
        arrays = ("camtoworlds", "pix2cams", "nears", "fars", "lossmults", "levels", "views")
        return replace(
            self,
            images=[self.images[i] for i in chosen],
            names=[self.names[i] for i in chosen],
            lenses=None if self.lenses is None else [self.lenses[i] for i in chosen],
            masks=None if self.masks is None else [self.masks[i] for i in chosen],
            **{name: getattr(self, name)[chosen] for name in arrays},
        )

    def as_pinholes(self) -> "Scene":
        """The same cameras without their lenses, and without masks: for images of other views."""
        return replace(self, lenses=None, masks=None)

    def masked_share(self) -> float:
        """The share of all pixels that do not count."""
        return 1 - sum(int(mask.sum()) for mask in self.masks) / self.num_pixels if self.masks else 0.0

    def at_level(self, level: int) -> "Scene":
        """The views of one resolution level; empty if there is none."""
        return self.select(self.levels == level)

    def with_bounds(self, near: float | None, far: float | None) -> "Scene":
        """The scene with another near or far, where they are given; `ConfigError` if nothing lies between them."""
        nears = self.nears if near is None else np.full_like(self.nears, near)
        fars = self.fars if far is None else np.full_like(self.fars, far)
        if not (nears < fars).all():
            raise ConfigError(
                f"near {nears.max():g} must be less than far {fars.min():g}: set data.near and data.far to fit"
            )
        return replace(self, nears=nears, fars=fars)

    def downsampled(self, factor: int) -> "Scene":
        """Every image `factor` times smaller, a pixel the mean of `factor` x `factor`, exactly: kept as their sum.

        A `factor` of 0 or 1 changes nothing. Where a size is no multiple of `factor`, pixels are lost at the right and
        the bottom. Raises `ConfigError` where nothing is left, or the sums do not fit into 16 bits.
        """
        if factor <= 1:
            return self
        max_value = self.max_value * factor**2
        if max_value > np.iinfo(np.uint16).max:
            raise ConfigError(f"data.factor {factor} is too large: the sum of so many pixels takes more than 16 bits")
        for name, width, height in zip(self.names, self.widths, self.heights, strict=True):
            if min(width, height) < factor:
                raise ConfigError(f"data.factor {factor} leaves nothing of the {width} x {height} pixels of {name}")
        pix2cams = self.pix2cams.copy()
        pix2cams[:, :, :2] *= factor
        images = parallel(lambda image: box_sum(cropped(image, factor), factor), self.images)
        masks = None if self.masks is None else [whole_boxes(cropped(mask, factor), factor) for mask in self.masks]
        return replace(self, images=images, masks=masks, pix2cams=pix2cams, max_value=max_value)

    def lens_and_mask(self, i: int) -> bytes:
        """What view `i` has besides a pinhole and pixels that all count, for digests; nothing if that is all."""
        lens = b"" if self.lenses is None or self.lenses[i].is_pinhole else repr(self.lenses[i]).encode()
        is_whole = self.masks is None or bool(self.masks[i].all())
        return lens + (b"" if self.masks is None or is_whole else np.packbits(self.masks[i]).tobytes())

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that changes a training: pixels, cameras, bounds, weights, levels, their order.

        File names are left out: a renamed file is the same data.
        """
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(repr(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
        for values in (self.camtoworlds, self.pix2cams, self.nears, self.fars, self.lossmults, self.levels):
            digest.update(np.ascontiguousarray(values, dtype="<f8").data)
        # As it was before there were other kinds of scenes: a training that has begun must find its checkpoints.
        if (self.max_value, self.ndc) != (255, False):
            digest.update(repr((self.max_value, self.ndc)).encode())
        for i in range(self.num_views):
            digest.update(self.lens_and_mask(i))
        return digest.hexdigest()


def evenly_spread(count: int, max_views: int | None = None, view: int | None = None) -> np.ndarray:
    """Indices [K] of at most `max_views` of `count` views, evenly spread; or only `view`.

    Raises `ConfigError` for `max_views` below 1, and where there is no such `view`.
    """
    if view is not None:
        if not 0 <= view < count:
            raise ConfigError(f"view {view} does not exist; the split has views 0 to {count - 1}")
        return np.array([view])
    if max_views is not None and max_views < 1:
        raise ConfigError(f"max_views must be at least 1, found {max_views}")
    chosen = min(max_views or count, count)
    return np.arange(chosen) * count // chosen


def chosen_levels(num_levels: int, level: int | None = None) -> list[int]:
    """All levels, or only `level`; `ConfigError` where there is no such level."""
    if level is not None and not 0 <= level < num_levels:
        raise ConfigError(f"level {level} does not exist; the scene has levels 0 to {num_levels - 1}")
    return list(range(num_levels)) if level is None else [level]


def box_sum(image: np.ndarray, factor: int, dtype: type = np.uint16) -> np.ndarray:
    """[H / factor, W / factor, C] of `dtype`: sums over squares of `factor` x `factor` pixels of [H, W, C]."""
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    return blocks.sum(axis=(1, 3), dtype=dtype)


def whole_boxes(mask: np.ndarray, factor: int) -> np.ndarray:
    """bool [H / factor, W / factor]: the squares of `factor` x `factor` pixels of [H, W] that are True all over."""
    height, width = mask.shape
    return np.asarray(mask.reshape(height // factor, factor, width // factor, factor).all(axis=(1, 3)))


def cropped(image: np.ndarray, multiple: int) -> np.ndarray:
    """[H, W, C] without the rows at the bottom and the columns at the right that are too many for a multiple."""
    height, width = image.shape[:2]
    return image[: height - height % multiple, : width - width % multiple]


def pinhole_pix2cam(focal: float, width: float, height: float) -> np.ndarray:
    """`pix2cam_matrix` of a camera with square pixels, whose principal point is the middle of the image."""
    return pix2cam_matrix(focal, focal, 0.5 * width, 0.5 * height)


def pix2cam_matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """[3, 3] float64: pixel (x, y, 1) to camera direction; x right, y up, looking along -z (OpenGL).

    All are in pixels; the upper left corner of the image, not the middle of its first pixel, is (0, 0).
    """
    return np.array([[1 / fx, 0.0, -cx / fx], [0.0, -1 / fy, cy / fy], [0.0, 0.0, -1.0]])


def parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, progress: str | None = None
) -> list[Result]:
    """`[function(item) for item in items]` in threads; the first error cancels what has not begun.

    `progress` labels a bar on standard error, which appears only in a terminal.
    """
    items = list(items)
    with ThreadPoolExecutor(workers or available_cpus()) as pool:
        return list(
            tqdm(pool.map(function, items), desc=progress, total=len(items), disable=None if progress else True)
        )


def read_bytes(path: Path, limit: int = MAX_IMAGE_BYTES) -> bytes:
    """Content of `path`; `DataError` if it cannot be read, or has more than `limit` bytes."""
    try:
        if (size := os.stat(path).st_size) > limit:
            raise DataError(
                f"{path}: has {size:,} bytes, at most {limit:,} are read; is it the right file? Fetch the scene anew"
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no possible name
        raise DataError(
            f"{path}: cannot be read ({getattr(error, 'strerror', error)}); fetch or convert the scene anew"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; `DataError` if it is missing, malformed or another kind of value."""
    try:
        content = json.loads(read_bytes(path, MAX_CAMERA_BYTES))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, expected a JSON object {{...}}")
    return content


def require(mapping: object, key: str, kind: type, where: str) -> Any:
    """`mapping[key]`, which has to be of `kind`; `where` begins the message of the `DataError`."""
    if not isinstance(mapping, dict) or key not in mapping:
        found = ", ".join(mapping) if isinstance(mapping, dict) else abbreviate(mapping)
        raise DataError(f"{where}: key {key!r} is missing; found: {found or 'nothing'}")
    if not isinstance(mapping[key], kind):
        raise DataError(f"{where}: {key!r} must be a {kind.__name__}, found {abbreviate(mapping[key])}")
    return mapping[key]


def check_count(count: int, where: str) -> None:
    """`DataError`, begun by `where`, for no images or more than a scene can have."""
    if count == 0:
        raise DataError(f"{where} is empty, expected at least one image")
    if count > MAX_IMAGES:
        raise DataError(f"{where} has {count:,} entries, at most {MAX_IMAGES:,} are read; is it the right file?")


def finite_array(value: object, shape: tuple[int, ...], where: str) -> np.ndarray:
    """`value` (nested lists of numbers) as finite float64 of exactly `shape`; else a `DataError` begun by `where`."""
    try:
        array = np.array(value)
    except ValueError:  # ragged
        array = np.array(None)
    # Strings, booleans, nulls and integers beyond 64 bits give other kinds.
    if array.dtype.kind not in "if" or array.shape != shape:
        wanted = f"numbers of shape {list(shape)}" if shape else "a number"
        raise DataError(f"{where} must be {wanted}, found {abbreviate(value)}")
    if not np.isfinite(array).all():
        raise DataError(f"{where} must be finite, found {abbreviate(value)}")
    return array.astype(np.float64)


def number(values: Mapping[str, Any], key: str, where: str) -> float:
    """`values[key]`, finite; `where` begins the message of the `DataError`."""
    return float(finite_array(values[key], (), f"{where}: {key!r}"))


def check_poses(matrices: np.ndarray, where: Callable[[int], str], rigid: bool = False) -> None:
    """`DataError` for the first of [V, 4, 4] that is no camera-to-world transform; `where(i)` begins its message.

    With `rigid`, its axes also have to be perpendicular and of unit length, up to 5 %.
    """
    with np.errstate(all="ignore"):
        is_finite = np.asarray(np.isfinite(matrices.astype(np.float32)).all(axis=(1, 2)))
        is_affine = np.isclose(matrices[:, 3], [0, 0, 0, 1], atol=1e-6).all(axis=1)
        determinants = np.linalg.det(matrices[:, :3, :3])
    rules = {
        "must be finite in 32 bits": is_finite,
        "must be an invertible transform with the last row 0 0 0 1": is_affine & (np.abs(determinants) > 1e-9),
        "must be a rotation, not a reflection: its axes are left-handed, so one of them is to be negated": (
            determinants > 0
        ),
    }
    if rigid:
        stretch = np.linalg.svd(np.where(is_finite[:, None, None], matrices[:, :3, :3], 0.0), compute_uv=False)
        is_rigid = (np.abs(stretch - 1) <= RIGID_TOLERANCE).all(axis=1)
        rules["must have perpendicular axes of unit length, up to 5 %"] = is_rigid
    for rule, holds in rules.items():
        for i in np.flatnonzero(~holds).tolist():
            raise DataError(f"{where(i)} {rule}")


def safe_path(folder: Path, name: str, where: str) -> Path:
    """`folder / name` for a relative POSIX `name` that stays inside; else a `DataError` begun by `where`."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise DataError(f"{where}: {name!r} must be a path inside the scene folder, without '..'")
    return folder.joinpath(*parts)


def abbreviate(value: object) -> str:
    """`value` as it stands in the file, cut to fit into a message."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN_BYTES else text[:SHOWN_BYTES] + "..."
