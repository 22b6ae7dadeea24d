"""Where the tools around COLMAP leave a sparse model, and its photographs."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mipnerf.config.layouts import MODEL_PLACES, MODEL_SUFFIXES
from mipnerf.console import warn_once
from mipnerf.datasets.captures.colmapfiles import BINARY, TEXT, Form
from mipnerf.errors import DataError

log = logging.getLogger(__name__)
NUMBER = "N"  # in `MODEL_PLACES`


class Model(NamedTuple):
    """A sparse model as it is stored."""

    cameras: Path
    images: Path
    points: Path

    @property
    def form(self) -> Form:
        return BINARY if self.cameras.suffix == ".bin" else TEXT


def find_model(folder: Path) -> tuple[Model, Path]:
    """The sparse model of the capture in `folder`, binary before text, and the folder of its photographs.

    It is that of the first of `MODEL_PLACES` that has cameras and images, and photographs beside it. Of several that
    are numbered, that with the most images is taken, and a warning tells of all. Raises `DataError`, saying where was
    looked, if there is no model, or none with photographs.
    """
    looked_at: list[str] = []
    for place, image_places in MODEL_PLACES.items():
        models, images = dict(models_in(folder, place)), {}
        for number in models:
            names = [name.replace(NUMBER, number) for name in image_places]
            if found := first_folder(folder, names):
                images[number] = found
            else:
                looked_at.append(f"{' or '.join(names)} for {place.replace(NUMBER, number)}")
        if images:
            number = largest(folder, {number: models[number] for number in images})
            return models[number], images[number]
    if looked_at:
        raise DataError(
            f"{folder}: there are no photographs where COLMAP's model needs them; put them into the folder "
            f"{', '.join(looked_at)}"
        )
    raise DataError(
        f"{folder} holds no COLMAP model: expected cameras and images, both .bin or both .txt, in "
        f"{', '.join(MODEL_PLACES)}, where N is a number"
    )


def models_in(folder: Path, place: str) -> Iterator[tuple[str, Model]]:
    """Each model of a place by its number, in order; by an empty name where the place has none."""
    before, number, after = place.partition(NUMBER)
    names = [entry.name for entry in (folder / before).glob("[0-9]*") if entry.name.isdecimal()] if number else [""]
    for name in sorted(names, key=lambda name: (len(name), name)):
        for suffix in MODEL_SUFFIXES:
            files = (
                folder / f"{before}{name}{after}" / f"{kind}{suffix}" for kind in ("cameras", "images", "points3D")
            )
            model = Model(*files)
            if model.cameras.exists() and model.images.exists():
                yield name, model
                break


def largest(folder: Path, models: dict[str, Model]) -> str:
    """The number of the model with the most images, the first of equals."""
    if len(models) == 1:
        return next(iter(models))
    counts = {number: count_images(model) for number, model in models.items()}
    chosen = max(counts, key=lambda number: counts[number])
    sizes = ", ".join(f"{place_of(folder, models[number])} ({count} images)" for number, count in counts.items())
    warn_once(
        log,
        f"{folder}: COLMAP has made several models, {sizes}, of which the largest is used, "
        f"{place_of(folder, models[chosen])}; join them by `colmap model_merger`, or remove those that are not meant",
    )
    return chosen


def count_images(model: Model) -> int:
    """0 for one that is damaged."""
    try:
        return sum(1 for _ in model.form.images(model.images))
    except DataError:
        return 0


def place_of(folder: Path, model: Model) -> str:
    return model.cameras.parent.relative_to(folder).as_posix()


def first_folder(folder: Path, names: list[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)
