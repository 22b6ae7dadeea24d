"""Captures without cameras: photographs or a video become a COLMAP model, which is read like those of the user."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mipnerf.config import PHOTO_KEYS, DataConfig
from mipnerf.datasets.captures.pictures import Pictures, link_or_copy, make_pictures
from mipnerf.datasets.captures.structure import OVERLAP, Found, find_structure, quiet
from mipnerf.datasets.layouts import MANIFEST, refuse_to_replace
from mipnerf.errors import DataError
from mipnerf.files import atomic_folder, write_text
from mipnerf.thirdparty import require_package

log = logging.getLogger(__name__)
SUMMARY = "summary.json"
SHOWN = 4  # pictures that a message names


def find_cameras(
    source: Path,
    target: Path,
    data: DataConfig,
    threads: int,
    draw: Callable[[Path], None] | None = None,
) -> None:
    """Find the cameras of the photographs or the video in the folder `source`, and write them to the folder `target`.

    That has images/, sparse/0/ (COLMAP, binary), summary.json and, last, manifest.json, and takes its place as a whole;
    `draw` may add to it. Of `data`, the fields `PHOTO_KEYS` count. Until it is complete, what was computed is kept
    beside it, in `.NAME.cameras`, and used by the next call with the same pictures.

    Raises `ConfigError` without pycolmap, and `DataError` where there are no pictures, or too few find their cameras.
    """
    require_package("pycolmap")
    refuse_to_replace(target)
    work = target.with_name(f".{target.name}.cameras")
    begin(work, source, data)
    pictures = make_pictures(source, work / "images", data.frames, threads)
    found = find_structure(
        work / "images", pictures.sizes, pictures.is_sequence, work, data, threads, where=str(source)
    )
    reasons = left_out(pictures, found)
    report(source, pictures, found, reasons, data)
    turn_upright(found.reconstruction)
    with atomic_folder(target) as temporary:
        write_model(work / "images", found, temporary)
        summary = summarise(pictures, found, reasons)
        write_text(temporary / SUMMARY, json.dumps(summary, indent=2) + "\n")
        if draw:
            draw(temporary)
        files = [*sorted((temporary / "images").iterdir()), *sorted((temporary / "sparse" / "0").iterdir())]
        sums = {path.relative_to(temporary).as_posix(): digest_of_file(path) for path in files}
        whole = hashlib.sha256(json.dumps(sums).encode()).hexdigest()
        # Small, however many pictures there are: what depends on it compares its content.
        write_text(temporary / MANIFEST, json.dumps({"sha256": whole, "pictures": len(found.registered)}) + "\n")
    shutil.rmtree(work, ignore_errors=True)


def begin(work: Path, source: Path, data: DataConfig) -> None:
    """Make the folder `work`; what is there of other pictures, or another way of finding cameras, is removed."""
    manifest = source / MANIFEST
    if manifest.exists():
        content = manifest.read_text(encoding="utf-8")
    else:
        stats = ((str(path), path.stat()) for path in sorted(source.rglob("*")) if path.is_file())
        content = json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
    values = {key: getattr(data, key) for key in PHOTO_KEYS if key != "min_registered"}
    key = json.dumps(
        {"source": hashlib.sha256(content.encode()).hexdigest(), "pycolmap": version("pycolmap"), **values}, indent=2
    )
    path = work / "key.json"
    if path.exists() and path.read_text(encoding="utf-8") == key:
        log.info("%s: going on with what an earlier attempt has found", work)
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_text(path, key)


def left_out(pictures: Pictures, found: Found) -> dict[str, str]:
    """Why, of every picture that has no camera, by what it is called in the capture."""
    registered = set(found.registered)
    reasons = dict(pictures.left_out)
    for name in sorted(pictures.sizes.keys() - registered):
        if name in found.elsewhere:
            why = f"is in a smaller model, of {found.elsewhere[name]} pictures"
        elif not found.features[name]:
            why = "has no point that can be found again"
        elif not found.matched[name]:
            why = f"shares too little with the others ({found.features[name]} points)"
        else:
            others = found.matched[name]
            why = f"matches {others} other{'s' * (others != 1)}, but its place could not be told from them"
        reasons[pictures.origins[name]] = why
    return reasons


def report(source: Path, pictures: Pictures, found: Found, reasons: dict[str, str], data: DataConfig) -> None:
    """Tell what was found; `DataError` where that is too few."""
    count, total = len(found.registered), len(pictures.sizes) + len(pictures.left_out)
    models = ""
    if len(found.models) > 1:
        sizes = ", ".join(map(str, found.models))
        models = f"the pictures fall into {len(found.models)} models, of {sizes} pictures, and the largest is taken; "
    shown = "; ".join(f"{name} {why}" for name, why in list(reasons.items())[:SHOWN])
    more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    if count < data.min_registered * total:
        raise DataError(
            f"{source}: {count} of {total} pictures found their cameras, fewer than data.min_registered "
            f"({data.min_registered:g}) asks for; {models}{OVERLAP}, or accept it with a smaller data.min_registered. "
            f"Left out: {shown}{more}"
        )
    log.info("%d of %d pictures found their cameras", count, total)
    if models:
        log.warning("%s: %stake more pictures between them to have all in one", source, models)
    if reasons:
        log.warning("%s: left out: %s%s", source, shown, more)


def turn_upright(reconstruction: Any) -> None:
    """Turn the model so that what is up for the cameras on average is +z; nothing where there is no such direction."""
    pycolmap = quiet()
    images = [reconstruction.image(i) for i in reconstruction.reg_image_ids()]
    up = -np.mean([image.cam_from_world().rotation.matrix()[1] for image in images], axis=0)
    if (length := np.linalg.norm(up)) < 1e-3:
        return
    z = up / length
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    rotation = pycolmap.Rotation3d(np.stack([x, np.cross(z, x), z]))
    reconstruction.transform(pycolmap.Sim3d(1.0, rotation, np.zeros(3)))


def write_model(images: Path, found: Found, folder: Path) -> None:
    """The model, and the images that it names."""
    (folder / "sparse" / "0").mkdir(parents=True)
    found.reconstruction.write_binary(folder / "sparse" / "0")
    (folder / "images").mkdir()
    for name in found.registered:
        link_or_copy(images / name, folder / "images" / name)


def summarise(pictures: Pictures, found: Found, reasons: dict[str, str]) -> dict[str, Any]:
    """What was found, for people and programs; errors are in pixels."""
    model = found.reconstruction
    return {
        "pictures": len(pictures.sizes) + len(pictures.left_out),
        "registered": len(found.registered),
        "mean_reprojection_error": round(float(model.compute_mean_reprojection_error()), 4),
        "points": int(model.num_points3D()),
        "models": found.models,
        "cameras": [
            {
                "model": camera.model.name,
                "size": [camera.width, camera.height],
                "params": list(map(float, camera.params)),
            }
            for camera in model.cameras.values()
        ],
        "video_frames": pictures.video_frames,
        "left_out": [{"picture": name, "reason": why} for name, why in reasons.items()],
        "pycolmap": version("pycolmap"),
    }


def digest_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
