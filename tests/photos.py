"""Whether cameras that are found do what the true ones do, at full size: run it by hand, an hour.

`python tests/photos.py` renders the bricks as 60 photographs and as a video of 60 frames, and has one run of the
workflow find their cameras, train and evaluate with them, and report; then the same with the true cameras, turned to
where the found ones are, since features along the axes suit walls along the axes (1.2 dB of the video). It says how far
the cameras are off, what finding them took, and both PSNRs. It fails where cameras are off by more than 0.5 % and 0.3
degrees in the median, or 1.5 % and 0.8 degrees at most, or PSNR by more than 1 dB.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from capture_files import write_json
from photo_files import TAN_HALF_ANGLE, deviations, on_white, rotation_between, write_photographs, write_video

from mipnerf.config import DataConfig
from mipnerf.datasets.bricks import _scene_and_sunlight, camera_poses
from mipnerf.datasets.captures.colmap import read_photographs
from mipnerf.datasets.raytrace import render

ROOT = Path(__file__).parents[1]
VIEWS = 60
SPLITS = {"photographs": "train", "video": "test"}  # whose cameras are taken: spread out, or an orbit
SAMPLES = 2  # rays a pixel and axis
LIMITS = {"positions, %": (0.5, 1.5), "angles, degrees": (0.3, 0.8)}  # median, most
MAX_LOSS = 1.0  # dB
MODEL = {"net_depth": 4, "net_width": 64, "net_width_condition": 64, "num_samples": 24, "max_deg_point": 10}
TRAIN = {"batch_size": 256, "lr_init": 5.0e-3, "lr_final": 2.5e-4, "lr_delay_steps": 100}
# Near and far for both: what is found has points, and would bound the scene more tightly.
DATA = {"near": 2.0, "far": 6.0, "factor": 8, "max_test_views": 4}


def take_picture(pose: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size, 3] of the bricks on white."""
    return on_white(render(*_scene_and_sunlight(), pose, TAN_HALF_ANGLE, size, SAMPLES))


def write_captures(folder: Path, kinds: Sequence[str], size: int, threads: int) -> None:
    """A capture without cameras, called as its kind, and the same pictures for `write_true`, in `true_KIND`."""
    for kind in kinds:
        with ProcessPoolExecutor(threads, get_context("spawn")) as pool:
            pictures = list(pool.map(partial(take_picture, size=size), camera_poses(SPLITS[kind], VIEWS)))
        images = write_photographs(pictures, folder / f"true_{kind}" / "images")
        if kind == "video":
            write_video(pictures, folder / kind / "film.mp4")
        else:
            shutil.copytree(images, folder / kind)


def write_true(folder: Path, kind: str, size: int, found: np.ndarray, true: np.ndarray) -> None:
    """The true cameras of the pictures in `true_KIND`, turned to where those are that were found [V, 3, 4]."""
    turn = np.eye(4)
    turn[:3, :3] = rotation_between(found, true).T
    images = sorted((folder / f"true_{kind}" / "images").iterdir())
    frames = [
        {"file_path": f"images/{path.name}", "transform_matrix": (turn @ pose).tolist()}
        for path, pose in zip(images, camera_poses(SPLITS[kind], VIEWS), strict=True)
    ]
    camera = {"fl_x": 0.5 * size / TAN_HALF_ANGLE, "w": size, "h": size}
    write_json(folder / f"true_{kind}", camera | {"frames": frames})


def configuration(captures: Path, kinds: Sequence[str], steps: int) -> dict[str, Any]:
    datasets = {}
    for kind in kinds:
        layout, frames = ("transforms", {}) if kind.startswith("true_") else ("photos", {"frames": VIEWS})
        common = {"source": "captures", "levels": 1, "layout": layout}
        datasets[kind] = common | {"scenes": [kind], "data": DATA | frames}
    return {
        "sources": {"captures": str(captures)},
        "datasets": datasets,
        "runs": [{"dataset": name, "variants": ["mipnerf"]} for name in datasets],
        "model": MODEL,
        "train": TRAIN | {"max_steps": steps},
    }


def run_workflow(project: Path, values: dict[str, Any], threads: int) -> None:
    """One command, up to the report."""
    (file := project.with_suffix(".yaml")).write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", project]
    command += ["--cores", threads, "--quiet", "--configfile", file, "--", "results/report.html"]
    subprocess.run(list(map(str, command)), check=True)


def cameras_of(kind: str, project: Path) -> tuple[np.ndarray, np.ndarray]:
    """Poses [V, 3, 4] that were found of a capture, and the true ones of the same pictures."""
    photographs = read_photographs(project / "data" / kind / kind, DataConfig())
    numbers = [int("".join(filter(str.isdigit, Path(name).stem))) for name in photographs.names]
    return photographs.camtoworlds, np.array(camera_poses(SPLITS[kind], VIEWS))[numbers]


def check_cameras(kind: str, project: Path) -> bool:
    """Print what was found of a capture and how far it is off, and say whether that is little enough."""
    summary = json.loads((project / "data" / kind / kind / "summary.json").read_text())
    with (project / "data" / "benchmarks" / "find_cameras" / f"{kind}_{kind}.tsv").open(newline="") as stream:
        (spent,) = csv.DictReader(stream, delimiter="\t")
    off, degrees = deviations(*cameras_of(kind, project))
    print(f"{kind}: {summary['registered']} of {summary['pictures']} pictures, models {summary['models']}")
    print(f"  {summary['cameras'][0]['model']}, reprojection error {summary['mean_reprojection_error']:.2f} pixels")
    print(f"  {float(spent['s']):.0f} s, {float(spent['cpu_time']):.0f} s of CPU on {os.cpu_count()} cores")
    is_fine = summary["registered"] == VIEWS
    for (name, limits), values in zip(LIMITS.items(), (100 * off, degrees), strict=True):
        print(f"  {name}: {np.median(values):.3f} in the median, {values.max():.3f} at most", flush=True)
        is_fine = is_fine and np.median(values) <= limits[0] and values.max() <= limits[1]
    return bool(is_fine)


def psnr_of(dataset: str, project: Path) -> float:
    with (project / "results" / dataset / "mipnerf" / dataset / "metrics.csv").open(newline="") as stream:
        return float(np.mean([float(row["value"]) for row in csv.DictReader(stream) if row["metric"] == "psnr"]))


def main() -> None:
    """Parse the command line, print the numbers, and fail where they are too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=800, metavar="N", help="pixels along a side (default 800)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="of each training (default 1500)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of the CPU (default 2)")
    parser.add_argument("--kinds", nargs="+", choices=SPLITS, default=list(SPLITS), help="default: both")
    args = parser.parse_args()
    is_fine = True
    with TemporaryDirectory() as temporary:
        captures, project = Path(temporary) / "captures", Path(temporary) / "project"
        write_captures(captures, args.kinds, args.size, args.threads)
        run_workflow(project, configuration(captures, args.kinds, args.steps), args.threads)
        for kind in args.kinds:
            write_true(captures, kind, args.size, *cameras_of(kind, project))
        true_kinds = [f"true_{kind}" for kind in args.kinds]
        run_workflow(project, configuration(captures, true_kinds, args.steps), args.threads)
        for kind in args.kinds:
            is_fine &= check_cameras(kind, project)
            found, true = psnr_of(kind, project), psnr_of(f"true_{kind}", project)
            print(f"  PSNR after {args.steps} steps: {true:.2f} with the true cameras, {found:.2f} with those found")
            is_fine &= found > true - MAX_LOSS
    sys.exit(not is_fine)


if __name__ == "__main__":
    main()
