"""An inspection as a whole: numbers, suspicions and two pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate

from mipnerf.config import RunConfig
from mipnerf.config.files import read_suite
from mipnerf.config.layouts import PHOTOS
from mipnerf.config.runs import run_of_scene, scene_folder
from mipnerf.datasets.captures.photos import SUMMARY
from mipnerf.datasets.load import load_scene, reader_of
from mipnerf.datasets.scene import read_json
from mipnerf.errors import ConfigError, DataError
from mipnerf.inspection.cameras import camera_facts
from mipnerf.inspection.checks import Finding, box_to_suggest, find_suspicious
from mipnerf.inspection.contact import plot_contact_sheet
from mipnerf.inspection.frusta import plot_cameras
from mipnerf.inspection.images import Split, summarise_split
from mipnerf.report.figures.plots import save_figure

SHOWN_NAMES = 4  # of images that are left out
PICTURES = ("cameras.png", "images.png")


def inspect_configured(scene: str, project: Path, configfiles: Sequence[Path], output: Path) -> dict[str, Any]:
    """`inspect_scene` of DATASET/SCENE in a project, read as the first of its configured runs reads it.

    Raises `ConfigError` for what is not configured, `DataError` for data that are not there yet.
    """
    dataset, slash, name = scene.partition("/")
    if not (dataset and slash and name):
        raise ConfigError(f"{scene!r} must be DATASET/SCENE, such as bricks/bricks")
    suite = read_suite(project, configfiles)
    run = run_of_scene(suite, dataset, name)
    folder = project / scene_folder(suite, dataset, name)
    if not folder.is_dir() and suite.datasets[dataset].layout == PHOTOS:
        raise DataError(
            f"{folder} does not exist: cameras of the photographs are to be found first, as `snakemake --cores 8 data` "
            "does with the same configuration"
        )
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist; `snakemake --cores 8 data` fetches and converts the configured scenes, in the "
            "project's folder or the one that --project names"
        )
    return inspect_scene(folder, run, output)


def inspect_scene(folder: Path, run: RunConfig, output: Path) -> dict[str, Any]:
    """All that is known of the scene in `folder` as `run` reads it; the pictures are written to the folder `output`.

    Raises `DataError` or `ConfigError` where the training or the test split cannot be read; a bad validation split,
    which nothing needs, is only a warning.
    """
    splits, findings = read_splits(folder, run)
    findings += find_suspicious(splits, run)
    name = f"{run.dataset}/{run.scene}"
    flagged = {(finding.split, view) for finding in findings for view in finding.views}
    paths = [output / picture for picture in PICTURES]
    save_figure(plot_cameras(name, splits), paths[0])
    save_figure(plot_contact_sheet(name, splits, flagged), paths[1])
    return {
        "scene": name,
        "folder": str(folder),
        "white_bkgd": run.data.white_bkgd,
        "splits": {split.name: split.facts for split in splits},
        "left_out": left_out(folder, run),
        "cameras": {split.name: camera_facts(split.cameras) for split in splits},
        "object_box": box_to_suggest(splits[0], run),
        "warnings": [
            {"message": finding.message, "split": finding.split, "views": list(finding.views)} for finding in findings
        ],
        "pictures": [str(path) for path in paths],
    }


def left_out(folder: Path, run: RunConfig) -> list[str]:
    """Images of the capture in `folder` that are not used: they are not there, or their cameras were not found."""
    reader = reader_of(folder, run.data)
    missing = reader(folder, run.data).missing if reader else []
    summary = folder / SUMMARY
    found = read_json(summary).get("left_out", []) if reader and summary.exists() else []
    return [*missing, *(entry["picture"] for entry in found)]


def picture_cameras(folder: Path, run: RunConfig) -> Figure:
    """The cameras of the training and test views of the scene in `folder`, for which only coarse images are read."""
    splits = []
    for name in ("train", "test"):
        data = run.data.model_copy(update={"train_levels": None})
        scene = load_scene(folder, name, run.levels, data, level=run.levels - 1)
        splits.append(summarise_split(name, replace(scene, levels=np.zeros_like(scene.levels))))
    return plot_cameras(f"{run.dataset}/{run.scene}", splits)


def read_splits(folder: Path, run: RunConfig) -> tuple[list[Split], list[Finding]]:
    """Training, validation (if it is one of its own) and test split, one after the other in memory."""
    train, test = (read_split(folder, name, run) for name in ("train", "test"))
    try:
        val = read_split(folder, "val", run)
    except (DataError, ConfigError) as error:
        return [train, test], [Finding(f"val: {error}")]
    is_test = val.cameras.names == test.cameras.names  # LLFF has no other
    return [train, test] if is_test else [train, val, test], []


def read_split(folder: Path, name: str, run: RunConfig) -> Split:
    """A split with all its levels, also those that are not trained on."""
    return summarise_split(
        name, load_scene(folder, name, run.levels, run.data.model_copy(update={"train_levels": None}))
    )


def format_inspection(result: Mapping[str, Any]) -> str:
    """The result of `inspect_scene` for people."""
    splits, cameras = result["splits"], result["cameras"]
    lines = [["scene", f"{result['scene']} in {result['folder']}"]]
    for name, facts in splits.items():
        lines.append([name, f"{facts['views']} views, {format_levels(facts['levels'])} pixels, {format_pixels(facts)}"])
    if left_out := result["left_out"]:
        more = f" and {len(left_out) - SHOWN_NAMES} more" if len(left_out) > SHOWN_NAMES else ""
        lines.append(["left out", f"{len(left_out)} images: {', '.join(left_out[:SHOWN_NAMES])}{more}"])
    train = cameras["train"]
    lines += [["cameras", line] for line in format_cameras(train)]
    lines += [["bounds", line] for line in format_bounds(train)]
    if box := result["object_box"]:
        lines.append(["bounds", f"silhouettes leave a box for the object, and `data.box: {box}` samples nothing else"])
    for name, facts in cameras.items():
        if name != "train":
            lines.append([name, f"{'; '.join(format_cameras(facts)[:2])}"])
    for i in range(len(lines) - 1, 0, -1):
        if lines[i][0] == lines[i - 1][0]:
            lines[i][0] = ""
    lines += [["pictures", path] for path in result["pictures"][:1]] + [["", path] for path in result["pictures"][1:]]
    warnings = [f"warning: {warning['message']}" for warning in result["warnings"]]
    return "\n".join(
        [tabulate(lines, tablefmt="plain"), *(["", *warnings] if warnings else ["", "nothing suspicious"])]
    )


def format_levels(levels: list[Mapping[str, Any]]) -> str:
    """`128×128, 64×64`; where sizes differ, their number."""
    return ", ".join(
        "×".join(map(str, level["sizes"][0]))
        + (f" and {others} other sizes" if (others := len(level["sizes"]) - 1) else "")
        for level in levels
    )


def format_pixels(facts: Mapping[str, Any]) -> str:
    """Channels, values, and the share of pixels that do not count."""
    channels = f"RGBA ({facts['transparent']:.0%} transparent)" if facts["alpha"] else "RGB"
    masked = f", {facts['masked']:.1%} masked" if facts["masked"] else ""
    return channels + (f", values up to {facts['max_value']}" if facts["max_value"] != 255 else "") + masked


def format_cameras(facts: Mapping[str, Any]) -> list[str]:
    """What the cameras are, one statement a line."""
    horizontal, vertical = facts["field_of_view"]
    lines = [
        (f"looking {facts['viewing']}" if facts["viewing"] != "mixed" else "looking in mixed directions")
        + f", turned up to {facts['turned_from_mean']:.0f}° from their mean direction",
        f"from the origin {format_spread(facts['distance_from_origin'])}",
    ]
    if facts["focus"]:
        point = ", ".join(f"{value:.3g}" if abs(value) > 1e-6 else "0" for value in facts["focus"])
        lines.append(f"from the point nearest to all axes, ({point}), {format_spread(facts['distance_from_focus'])}")
    if facts["neighbour_distance"]:
        lines.append(f"from the next camera {format_spread(facts['neighbour_distance'])}")
    lines.append(f"within a box of {' × '.join(f'{side:.3g}' for side in facts['extent'])}")
    lines.append(
        f"focal length {format_spread(facts['focal_length'])} pixels, field of view {horizontal:.1f}° × {vertical:.1f}°"
    )
    if facts["lens_shift"]:
        lines.append(f"lenses are undistorted, by up to {facts['lens_shift']:.3g} pixels")
    return lines


def format_bounds(facts: Mapping[str, Any]) -> list[str]:
    """Near and far, and what they hold."""
    unit = ", in normalised device coordinates" if facts["ndc"] else ""
    lines = [f"near {format_spread(facts['near'])}, far {format_spread(facts['far'])}{unit}"]
    if facts["viewing"] == "inward" and facts["contained_radius"] is not None:
        lines.append(
            f"they hold a sphere of radius {max(facts['contained_radius'], 0):.3g} around that point; "
            f"images show one of {facts['visible_radius']:.3g}"
        )
    if facts["overlap"]:
        lines.append(
            f"{facts['overlap']['pairs']:.0%} of the pairs of cameras overlap; a point of a frustum is seen by "
            f"{facts['overlap']['share']:.0%} of the others"
        )
    return lines


def format_spread(values: Mapping[str, float]) -> str:
    """`4.03`, or `3.1 to 4.2 (median 4)` where they differ."""
    least, most = f"{values['min']:.4g}", f"{values['max']:.4g}"
    return least if least == most else f"{least} to {most} (median {values['median']:.4g})"
