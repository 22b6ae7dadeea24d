"""The scene in a folder, whatever its layout, as the configuration asks for it."""

from pathlib import Path

from mipnerf.config import DataConfig
from mipnerf.datasets import blender, llff, multiscale
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError, DataError


def load_scene(
    folder: Path,
    split: str,
    num_levels: int,
    data: DataConfig,
    max_views: int | None = None,
    level: int | None = None,
    view: int | None = None,
) -> Scene:
    """One split (train, val or test) of the scene in `folder`: a conversion to all levels, Blender or LLFF.

    Honours `factor`, `train_levels`, `near`, `far` and, for LLFF, `llffhold` and `spherify` of `data`. Only what is
    asked for is decoded: `max_views` views, evenly spread, or the view with the index `view`; and `level`, if given.
    A Blender scene has one level, a conversion those it was made with, LLFF gets `num_levels`. Raises `DataError` for a
    folder without a scene or with a bad one, and `ConfigError` for a level, view or size that it cannot give.
    """
    chosen = {"max_views": max_views, "view": view}
    if (folder / "metadata.json").exists():
        scene = multiscale.load_scene(folder, split, level=level, **chosen).downsampled(data.factor)
    elif (folder / "transforms_train.json").exists():
        if num_levels != 1 or level not in (None, 0):
            raise ConfigError(
                f"{folder} is a Blender scene, which has level 0 only; set the dataset's levels to 1, or its layout to "
                "multiscale"
            )
        scene = blender.load_scene(folder, split, **chosen).downsampled(data.factor)
    elif (folder / "poses_bounds.npy").exists():
        scene = llff.load_scene(folder, split, data, num_levels, level=level, **chosen)
    else:
        raise DataError(
            f"{folder} holds no scene: expected metadata.json (converted), transforms_train.json (Blender) or "
            "poses_bounds.npy (LLFF); fetch or convert the scene, or name its folder"
        )
    if split == "train" and level is None and data.train_levels is not None:
        scene = scene.select(scene.levels < data.train_levels)
    return scene.with_bounds(data.near, data.far)
