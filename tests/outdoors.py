"""Whether the contraction pays before a distant background, without near and far by hand: run it by hand, 20 minutes.

`python tests/outdoors.py` renders the bricks before a painted sphere fifteen times as far away as they are, and trains
on them with the contraction, near and far by its own rule, and without, for several of near and far. It fails where the
contraction is less than 3 dB better than the best of these.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from capture_files import write_json
from PIL import Image
from trainings import psnr_after_training

from mipnerf.datasets.bricks import TAN_HALF_ANGLE, _scene_and_sunlight, camera_poses
from mipnerf.datasets.raytrace import camera_directions, dot, render

RADIUS = 60.0  # of the sphere around the bricks
WAVES = 24  # of which its colours are made
MAX_FREQUENCY = 16.0  # of these, in radians on the unit sphere
BOUNDS = [(2.0, 6.0), (2.0, 20.0), (2.0, 66.0)]  # near and far; the cameras are 4 away from the bricks
VIEWS = {"train": 40, "test": 10}
SAMPLES = 3  # rays a pixel and axis
LEAST_GAIN = 3.0  # dB
MODEL = {"net_depth": 4, "net_width": 64, "net_width_condition": 64, "num_samples": 24, "max_deg_point": 10}
TRAIN = {"batch_size": 256, "lr_init": 5.0e-3, "lr_final": 2.5e-4, "lr_delay_steps": 100}
DATA = {"layout": "transforms", "white_bkgd": False}


def paint(directions: np.ndarray) -> np.ndarray:
    """Colours [3, ...] in [0, 1] of the sphere in `directions` [3, ...] of unit length from its middle."""
    rng = np.random.default_rng(9)
    colors = np.full(directions.shape, 0.5)
    for _ in range(WAVES):
        wave = rng.normal(size=3)
        wave *= rng.uniform(2, MAX_FREQUENCY) / np.linalg.norm(wave)
        phases, strengths = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0, 1.2 / np.sqrt(WAVES), 3)
        for color, phase, strength in zip(colors, phases, strengths, strict=True):
            color += strength * np.sin(dot(wave, directions) + phase)
    return np.clip(colors, 0, 1)


def take_photograph(pose: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size, 3] of the bricks before the sphere."""
    image = render(*_scene_and_sunlight(), pose, TAN_HALF_ANGLE, size, SAMPLES)
    steps = (np.arange(size * SAMPLES) + 0.5) / SAMPLES
    directions = camera_directions(*np.meshgrid(steps, steps), pose, TAN_HALF_ANGLE, size)
    directions /= np.sqrt(dot(directions, directions))
    origin = pose[:3, 3][:, None, None]
    along = dot(origin, directions)
    t = -along + np.sqrt(along**2 + RADIUS**2 - dot(origin, origin))
    sphere = paint((origin + t * directions) / RADIUS)
    sphere = sphere.reshape(3, size, SAMPLES, size, SAMPLES).mean(axis=(2, 4)).transpose(1, 2, 0)
    alpha = image[..., 3:] / 255
    return np.rint(image[..., :3] * alpha + 255 * sphere * (1 - alpha)).astype(np.uint8)


def write_capture(folder: Path, size: int, threads: int) -> Path:
    """The photographs and their cameras, as transforms_{train,test}.json."""
    (folder / "images").mkdir(parents=True)
    for split, count in VIEWS.items():
        poses = camera_poses(split, count)
        with ProcessPoolExecutor(threads, get_context("spawn")) as pool:
            pictures = list(pool.map(partial(take_photograph, size=size), poses))
        frames = []
        for i, (pose, picture) in enumerate(zip(poses, pictures, strict=True)):
            frames.append({"file_path": f"images/{split}_{i:02d}.png", "transform_matrix": pose.tolist()})
            Image.fromarray(picture).save(folder / frames[-1]["file_path"])
        camera = {"fl_x": 0.5 * size / TAN_HALF_ANGLE, "w": size, "h": size}
        write_json(folder, camera | {"frames": frames}, f"transforms_{split}.json")
    return folder


def main() -> None:
    """Parse the command line, print the numbers, and fail where the contraction does not pay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96, metavar="N", help="pixels along a side (default 96)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="of each training (default 1500)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of the CPU (default 2)")
    args = parser.parse_args()
    train = TRAIN | {"max_steps": args.steps}
    with TemporaryDirectory() as temporary:
        capture = write_capture(Path(temporary) / "capture", args.size, args.threads)
        print(f"PSNR in dB after {args.steps} steps at {args.size} x {args.size} pixels")
        contracted = psnr_after_training(
            capture,
            Path(temporary) / "contracted",
            args.threads,
            model=MODEL | {"contraction": "mip360"},
            train=train,
            data=DATA,
        )
        print(f"contraction, near and far by the rule: {contracted:.2f}", flush=True)
        others = []
        for near, far in BOUNDS:
            folder, data = Path(temporary) / f"near_{near:g}_far_{far:g}", DATA | {"near": near, "far": far}
            others.append(psnr_after_training(capture, folder, args.threads, model=MODEL, train=train, data=data))
            print(f"near {near:g}, far {far:g}: {others[-1]:.2f}", flush=True)
    print(f"contraction: {contracted - max(others):+.2f} dB")
    sys.exit(not contracted > max(others) + LEAST_GAIN)


if __name__ == "__main__":
    main()
