"""The scene in a folder, whatever its layout, as the configuration asks for it."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mipnerf.config import DataConfig
from mipnerf.config.layouts import CAPTURES
from mipnerf.datasets import blender, llff, multiscale
from mipnerf.datasets.captures.photographs import Photographs, load_photographs
from mipnerf.datasets.layouts import BLENDER_MARKER, LLFF_MARKER, has_marker
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError, DataError

NO_CONTRACTION_OF_NDC = (
    "{}: model.contraction does not go with rays in NDC, which end at infinity already; set it to none, or "
    "data.spherify to true where cameras go around something"
)

Reader = Callable[[Path, DataConfig], Photographs]


def load_scene(
    folder: Path,
    split: str,
    num_levels: int,
    data: DataConfig,
    max_views: int | None = None,
    level: int | None = None,
    view: int | None = None,
) -> Scene:
    """One split (train, val or test) of the scene in `folder`: a conversion to all levels, Blender or a capture.

    A capture is what `data.layout` says, or what its files are: LLFF, transforms or COLMAP. Honours `factor`,
    `train_levels`, `near`, `far`, `unbounded` and, for captures, `llffhold`, `spherify` (LLFF) and `normalize` (the
    others) of `data`. Only what is asked for is decoded: `max_views` views, evenly spread, or the view with the index
    `view`; and `level`, if given. A Blender scene has one level, a conversion those it was made with, captures get
    `num_levels`.
    Raises `DataError` for a folder without a scene or with a bad one, and `ConfigError` for a level, view or size that
    it cannot give.
    """
    chosen: dict[str, Any] = {"max_views": max_views, "view": view}
    if reader := reader_of(folder, data):
        scene = load_photographs(reader(folder, data), split, data, num_levels, level=level, **chosen)
    elif (folder / "metadata.json").exists():
        scene = multiscale.load_scene(folder, split, level=level, **chosen).downsampled(data.factor)
    elif (folder / BLENDER_MARKER).exists():
        if num_levels != 1 or level not in (None, 0):
            raise ConfigError(
                f"{folder} is a Blender scene, which has level 0 only; set the dataset's levels to 1, or its layout to "
                "multiscale"
            )
        scene = blender.load_scene(folder, split, **chosen).downsampled(data.factor)
    elif (folder / LLFF_MARKER).exists():
        scene = llff.load_scene(folder, split, data, num_levels, level=level, **chosen)
    else:
        raise DataError(
            f"{folder} holds no scene: expected metadata.json (converted), transforms_train.json (Blender), "
            "poses_bounds.npy (LLFF), transforms.json or a COLMAP model; fetch or convert the scene, or name its folder"
        )
    if split == "train" and level is None and data.train_levels is not None:
        scene = scene.select(scene.levels < data.train_levels)
    if data.unbounded and scene.ndc:
        raise ConfigError(NO_CONTRACTION_OF_NDC.format(folder))
    return replace(scene.with_bounds(data.near, data.far), unbounded=data.unbounded)


def reader_of(folder: Path, data: DataConfig) -> Reader | None:
    """What reads the capture in `folder`, where it is one with pinhole cameras: as `data` says, else by its files."""
    if data.layout:
        return _reader(data.layout)
    if any((folder / name).exists() for name in ("metadata.json", BLENDER_MARKER, LLFF_MARKER)):
        return None
    names = (name for name, layout in CAPTURES.items() if has_marker(folder, layout.markers))
    return next(map(_reader, names), None)


def _reader(layout: str) -> Reader:
    reader: Reader = import_module(f"mipnerf.datasets.captures.{layout}").read_photographs
    return reader
