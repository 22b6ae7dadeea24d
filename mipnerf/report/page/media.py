"""The pictures of the page: chosen by what there is room for, embedded once, and listed for its script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mipnerf.datasets.scene import read_bytes
from mipnerf.report.frame import Run
from mipnerf.report.page.budget import ENCODED, MAP_BYTES, fitting
from mipnerf.report.page.data import Json
from mipnerf.report.page.embedded import TYPES, Embedded, Files
from mipnerf.report.page.films import Frame, choose_frames
from mipnerf.report.page.images import Comparison, choose_images, read_comparisons
from mipnerf.report.page.orbits import Orbit, Video, choose_orbits, choose_videos
from mipnerf.report.page.trainings import Training
from mipnerf.report.sweeps import pictured_runs


@dataclass(frozen=True)
class Media:
    """What the script reads of the pictures, the videos for the template, and all files.

    `left_out` says how many of each kind are not in the page for their size.
    """

    data: Json
    videos: Sequence[Json]
    files: Sequence[Embedded]
    left_out: Mapping[str, int]


def gather_media(
    runs: Sequence[Run],
    trainings: Sequence[Training],
    data_folders: Mapping[str, Path],
    max_bytes: float,
    compared: Sequence[Run] | None = None,
) -> Media:
    """The pictures of runs and trainings; those of `compared`, or all, take at most `max_bytes`."""
    scenes = dict.fromkeys((run.dataset, run.scene) for run in runs)
    shown = [
        run for place in scenes for run in pictured_runs([one for one in runs if (one.dataset, one.scene) == place])
    ]
    chosen, num_images = choose_images(runs if compared is None else compared, max_bytes)
    comparisons, files = list(read_comparisons(chosen, data_folders)), Files()
    frames, num_frames = choose_frames([*shown, *trainings])
    orbits, num_orbits = choose_orbits(shown)
    data = {
        "sets": [set_data(comparison, files) for comparison in comparisons],
        "maps": map_data(comparisons, files),
        "films": [frame_data(frame, files) for frame in frames],
        "orbits": [orbit_data(orbit, files) for orbit in orbits],
    }
    num_maps = sum(len(comparison.maps) for comparison in comparisons)
    left_out = {
        "sets": num_images - len(chosen),
        "maps": num_maps - len(data["maps"]),
        "films": num_frames - len(frames),
        "orbits": num_orbits - len(orbits),
    }
    videos = [video_data(video, files) for video in choose_videos(shown)]
    return Media(data, videos, files.all, left_out)


def set_data(comparison: Comparison, files: Files) -> Json:
    """A comparison for the page's script, its images among the `files`."""
    return {
        "scene": f"{comparison.dataset}/{comparison.scene}",
        **{key: getattr(comparison, key) for key in ("level", "view", "width", "height")},
        "pictures": {name: files.add(content) for name, content in comparison.pictures.items()},
    }


def map_data(comparisons: Sequence[Comparison], files: Files, max_bytes: float = MAP_BYTES) -> list[Json]:
    """Depths and opacities for the page's script, as many as there is room for, the coarse levels first."""
    found = [(comparison, each) for comparison in comparisons for each in comparison.maps]
    found.sort(key=lambda pair: -pair[0].level)
    kept = fitting((ENCODED * (len(each.depth) + len(each.opacity)) for _, each in found), max_bytes)
    return [
        {
            "scene": f"{comparison.dataset}/{comparison.scene}",
            **{key: getattr(comparison, key) for key in ("level", "view")},
            **{key: getattr(each, key) for key in ("variant", "low", "high")},
            "depth": files.add(each.depth),
            "opacity": files.add(each.opacity),
        }
        for comparison, each in (found[i] for i in kept)
    ]


def frame_data(frame: Frame, files: Files) -> Json:
    """A picture of a training for the page's script."""
    run, row = frame.run, frame.row
    return {
        "scene": f"{run.dataset}/{run.scene}",
        "variant": run.variant,
        "step": row.step,
        "level": row.level,
        "view": row.view,
        "psnr": row.psnr,
        "file": files.add(frame.content()),
    }


def orbit_data(orbit: Orbit, files: Files) -> Json:
    """Views from all around for the page's script."""
    return {
        "scene": f"{orbit.run.dataset}/{orbit.run.scene}",
        "variant": orbit.run.variant,
        "frames": orbit.frames,
        "columns": orbit.columns,
        "sizes": orbit.sizes,
        "sheets": [files.add(sheet) for sheet in orbit.sheets],
    }


def video_data(video: Video, files: Files) -> Json:
    """A video for the template: where it is, and its content where there was room."""
    run = video.run
    return {
        "name": f"{run.dataset}/{run.variant}/{run.scene}: {video.path.stem.removeprefix('video_').replace('_', ' ')}",
        "link": f"{run.dataset}/{run.variant}/{run.scene}/{video.path.name}",
        "file": files.add(read_bytes(video.path), TYPES[video.path.suffix]) if video.is_shown else None,
        "poster": files.add(video.poster) if video.poster else None,
    }
