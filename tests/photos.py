"""Whether cameras that are found do what the true ones do, at a size that takes some minutes: run it by hand.

`python tests/photos.py` renders the bricks as 60 photographs and as a video of 60 frames, throws the cameras away, has
them found, and says how far they are off and what that took; `--train` also trains with the true cameras and with those
that were found, and says both PSNRs. It fails where cameras are off by more than 0.5 % and 0.3 degrees in the median,
or 1.5 % and 0.8 degrees at most, or PSNR by more than 1 dB.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from capture_files import write_json
from photo_files import TAN_HALF_ANGLE, deviations, on_white, write_photographs, write_video

from mipnerf.config import DataConfig
from mipnerf.datasets.bricks import render_bricks
from mipnerf.datasets.captures.colmap import read_photographs
from mipnerf.datasets.captures.photos import find_cameras
from mipnerf.datasets.images import decode_png
from mipnerf.threads import available_cpus

ROOT = Path(__file__).parents[1]
VIEWS = 60
LIMITS = {"positions, %": (0.5, 1.5), "angles, degrees": (0.3, 0.8)}  # median, most
MAX_LOSS = 1.0  # dB
MODEL = {"net_depth": 4, "net_width": 96, "net_width_condition": 64, "num_samples": 32, "max_deg_point": 10}
TRAIN = {"batch_size": 256, "lr_init": 1.0e-2, "lr_final": 5.0e-4, "lr_delay_steps": 200}
BOUNDS = {"near": 2.0, "far": 6.0}  # for both: what is found has points, and would bound the scene more tightly


def read(folder: Path, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures on white, and poses [V, 4, 4], of a split of the bricks."""
    frames = json.loads((folder / f"transforms_{split}.json").read_text())["frames"]
    paths = [(folder / frame["file_path"]).with_suffix(".png") for frame in frames]
    pictures = [on_white(decode_png(path.read_bytes(), path)) for path in paths]
    return pictures, np.array([frame["transform_matrix"] for frame in frames])


def check(kind: str, source: Path, found: Path, poses: np.ndarray) -> bool:
    """Find the cameras of `source`, print how far they are off, and say whether that is little enough."""
    data = DataConfig(frames=VIEWS)
    start, start_cpu = time.perf_counter(), time.process_time()
    find_cameras(source, found, data, available_cpus())
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    summary = json.loads((found / "summary.json").read_text())
    photographs = read_photographs(found, data)
    numbers = [int(Path(name).stem.rpartition("_")[2]) for name in photographs.names]
    off, degrees = deviations(photographs.camtoworlds, poses[numbers])
    print(f"{kind}: {summary['registered']} of {summary['pictures']} pictures, models {summary['models']}")
    print(f"  {seconds:.0f} s, {cpu:.0f} s of CPU; reprojection error {summary['mean_reprojection_error']:.2f} pixels")
    is_fine = summary["registered"] == VIEWS
    for (name, limits), values in zip(LIMITS.items(), (100 * off, degrees), strict=True):
        print(f"  {name}: {np.median(values):.3f} in the median, {values.max():.3f} at most", flush=True)
        is_fine = is_fine and np.median(values) <= limits[0] and values.max() <= limits[1]
    return bool(is_fine)


def write_true(folder: Path, photographs: Path, poses: np.ndarray, size: int) -> None:
    """The same photographs with their true cameras, as transforms.json."""
    shutil.copytree(photographs, folder / "images")
    frames = [
        {"file_path": f"images/{path.name}", "transform_matrix": pose.tolist()}
        for path, pose in zip(sorted(photographs.iterdir()), poses, strict=True)
    ]
    write_json(folder, {"fl_x": 0.5 * size / TAN_HALF_ANGLE, "w": size, "h": size, "frames": frames})


def compare(folder: Path, steps: int) -> bool:
    """Train with the true cameras and with those that are found, print both PSNRs, and say whether they are alike."""
    common = {"source": "captures", "levels": 1, "data": BOUNDS | {"white_bkgd": False, "factor": 4}}
    values = {
        "sources": {"captures": str(folder)},
        "datasets": {
            "known": common | {"layout": "transforms", "scenes": ["known"]},
            "found": common | {"layout": "photos", "scenes": ["photographs"]},
        },
        "runs": [{"dataset": name, "variants": ["mipnerf"]} for name in ("known", "found")],
        "model": MODEL,
        "train": TRAIN | {"max_steps": steps},
    }
    (folder.parent / "compare.yaml").write_text(yaml.safe_dump(values))
    command = [
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        folder.parent / "project",
        "--cores",
        "all",
    ]
    subprocess.run(
        [
            sys.executable,
            "-m",
            *map(str, command),
            "--quiet",
            "--configfile",
            folder.parent / "compare.yaml",
            "--",
            "metrics",
        ],
        check=True,
    )
    scores = []
    for name in ("known/mipnerf/known", "found/mipnerf/photographs"):
        with (folder.parent / "project" / "results" / name / "metrics.csv").open(newline="") as stream:
            values = [float(row["value"]) for row in csv.DictReader(stream) if row["metric"] == "psnr"]
        scores.append(float(np.mean(values)))
    print(f"PSNR after {steps} steps: {scores[0]:.2f} with the true cameras, {scores[1]:.2f} with those found")
    return scores[1] > scores[0] - MAX_LOSS


def main() -> None:
    """Parse the command line, print the numbers, and fail where they are too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=640, metavar="N", help="pixels along a side (default 640)")
    parser.add_argument("--train", type=int, metavar="N", help="also compare trainings of so many steps")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        render_bricks(folder / "bricks", args.size, VIEWS, 1, VIEWS, samples=3)
        (folder / "captures").mkdir()
        pictures, poses = read(folder / "bricks", "train")
        photographs = write_photographs(pictures, folder / "captures" / "photographs")
        is_fine = check("photographs", photographs, folder / "found" / "photographs", poses)
        if args.train:
            write_true(folder / "captures" / "known", photographs, poses, args.size)
            is_fine &= compare(folder / "captures", args.train)
        pictures, poses = read(folder / "bricks", "test")
        video = write_video(pictures, folder / "film" / "film.mp4").parent
        is_fine &= check("video", video, folder / "found" / "film", poses)
    sys.exit(not is_fine)


if __name__ == "__main__":
    main()
