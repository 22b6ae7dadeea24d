"""Whether photographs through strong lenses are learnt as well as those of a pinhole: run it by hand, 15 minutes.

`python tests/lenses.py` renders the bricks by a pinhole, a lens of OPENCV and a fisheye, whose rays are pycolmap's, and
trains on each; on the photographs of the lenses also as if a pinhole had taken them. It fails where PSNR through a lens
is more than 0.3 dB less than the pinhole's, or as a pinhole less than 3 dB below that: then lenses would not matter.
"""

import argparse
import itertools
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from capture_files import write_json
from PIL import Image
from trainings import psnr_after_training

from mipnerf.datasets.bricks import _scene_and_sunlight, camera_poses
from mipnerf.datasets.raytrace import TILE, _screen_bounds, _trace

# Focal lengths in widths of the image, with which the bricks are as large in all: what is white lifts PSNR.
CAMERAS = {
    "pinhole": ("PINHOLE", 1.055, {}),
    "opencv": ("OPENCV", 1.19, {"k1": -0.9, "k2": 0.4, "p1": 0.004, "p2": -0.006}),
    "fisheye": ("OPENCV_FISHEYE", 1.19, {"k1": -0.7, "k2": 0.3, "k3": 0.0, "k4": 0.0}),
}
VIEWS = {"train": 100, "test": 12}
MAX_TURN = 0.16  # radians; the bricks are seen under 0.35 from their middle, an image ends at 0.44 or more
SAMPLES = 3  # rays a pixel and axis
MAX_LOSS, LEAST_GAIN = 0.3, 3.0  # dB
MODEL = {"net_depth": 4, "net_width": 64, "net_width_condition": 64, "num_samples": 24, "max_deg_point": 10}
TRAIN = {"batch_size": 256, "lr_init": 5.0e-3, "lr_final": 2.5e-4, "lr_delay_steps": 100}
DATA = {"layout": "transforms", "foreground_tries": 4, "normalize": False, "near": 2.0, "far": 6.0}


def make_camera(name: str, size: int) -> pycolmap.Camera:
    model, focal, coefficients = CAMERAS[name]
    params = [focal * size, focal * size, size / 2, size / 2, *coefficients.values()]
    return pycolmap.Camera(model=model, width=size, height=size, params=params)


def take_photograph(name: str, pose: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size, 4], straight alpha, of the bricks."""
    scene, sunlight = _scene_and_sunlight()
    steps = (np.arange(size * SAMPLES) + 0.5) / SAMPLES
    pixels = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    camera = make_camera(name, size)
    plane = camera.cam_from_img(pixels)
    back = camera.img_from_cam(np.pad(plane, ((0, 0), (0, 1)), constant_values=1.0))
    assert np.abs(back - pixels).max() < 1e-6
    plane = (plane * [1, -1]).reshape(size * SAMPLES, size * SAMPLES, 2)  # y up
    low, high = _screen_bounds(scene, pose, 1.0, 2)  # 1 + what the plane has, with y down
    image = np.zeros((size * SAMPLES, size * SAMPLES, 4))  # colours times alpha
    for top, left in itertools.product(range(0, size * SAMPLES, TILE * SAMPLES), repeat=2):
        part = slice(top, top + TILE * SAMPLES), slice(left, left + TILE * SAMPLES)
        right, up = np.moveaxis(plane[part], -1, 0)
        least, most = (np.array([[f(right)], [f(-up)]]) + 1 for f in (np.min, np.max))
        seen = scene[((low < most) & (high > least)).all(axis=0)]
        if len(seen):
            directions = np.stack([row[0] * right + row[1] * up - row[2] for row in pose[:3]])
            color, hit = _trace(seen, sunlight, pose[:3, 3:], directions.reshape(3, -1))
            image[part] = np.concatenate([color, hit[None]]).T.reshape(*right.shape, 4)
    image = image.reshape(size, SAMPLES, size, SAMPLES, 4).mean(axis=(1, 3))
    image[..., :3] /= np.maximum(image[..., 3:], 1e-9)
    return np.rint(255 * image).astype(np.uint8)


def turned_aside(poses: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """The cameras, each turned at random: of bricks in the middle of all images, a lens would only swell the shape."""
    rng, turned = np.random.default_rng(seed), []
    for pose in poses:
        a, b = rng.uniform(-MAX_TURN, MAX_TURN, 2)
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        turned.append(pose.copy())
        turned[-1][:3, :3] = pose[:3, :3] @ about_x @ about_y
    return turned


def write_captures(name: str, folder: Path, size: int, pool: Executor) -> None:
    """The photographs by the camera `name`, with its lens and, in a second capture, without."""
    model, focal, coefficients = CAMERAS[name]
    folders = {folder / name: {"camera_model": model, **coefficients}}
    if coefficients:
        folders[folder / f"{name}_as_pinhole"] = {}
    for split, count in VIEWS.items():
        poses = turned_aside(camera_poses(split, count), seed=count)
        pictures = list(pool.map(partial(take_photograph, name, size=size), poses))
        frames = [
            {"file_path": f"images/{split}_{i:02d}.png", "transform_matrix": pose.tolist()}
            for i, pose in enumerate(poses)
        ]
        for path, lens in folders.items():
            (path / "images").mkdir(parents=True, exist_ok=True)
            for frame, picture in zip(frames, pictures, strict=True):
                Image.fromarray(picture).save(path / frame["file_path"])
            camera = {"fl_x": focal * size, "w": size, "h": size}
            write_json(path, camera | lens | {"frames": frames}, f"transforms_{split}.json")


def main() -> None:
    """Parse the command line, print the numbers, and fail where they are not as they should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96, metavar="N", help="pixels along a side (default 96)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="of each training (default 1500)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of the CPU (default 2)")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        captures, results = Path(temporary) / "captures", Path(temporary) / "results"
        with ProcessPoolExecutor(args.threads, get_context("spawn")) as pool:
            for name in CAMERAS:
                write_captures(name, captures, args.size, pool)
        print(f"PSNR in dB after {args.steps} steps at {args.size} x {args.size} pixels")
        scores = {}
        for name in [name for camera in CAMERAS for name in (camera, f"{camera}_as_pinhole")]:
            if not (captures / name).exists():
                continue
            scores[name] = psnr_after_training(
                captures / name,
                results / name,
                args.threads,
                model=MODEL,
                train=TRAIN | {"max_steps": args.steps},
                data=DATA,
            )
            print(f"{name}: {scores[name]:.2f}", flush=True)
    lenses = CAMERAS.keys() - {"pinhole"}
    is_fine = all(
        scores[name] > scores["pinhole"] - MAX_LOSS and scores[f"{name}_as_pinhole"] < scores[name] - LEAST_GAIN
        for name in lenses
    )
    sys.exit(not is_fine)


if __name__ == "__main__":
    main()
