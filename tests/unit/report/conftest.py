"""Run folders as training and evaluation leave them, with values that a test can compute by hand."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import yaml

from mipnerf.report.frame import COLUMNS, read_metrics, write_metrics

REFERENCE = Path(__file__).parents[3] / "config" / "reference"
CAMERA = {
    "cam2world": np.eye(4).tolist(),
    "pix2cam": np.eye(3).tolist(),
    "focal": 40.0,
    "near": 2.0,
    "far": 6.0,
    "lossmult": 1.0,
}


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The published numbers that come with the suite."""
    return REFERENCE


@pytest.fixture
def make_run(tmp_path):
    """A function that writes the folder of one run.

    PSNR at `level` and the i-th view is psnr + level + 0.1 i, SSIM is ssim + 0.01 level + 0.001 i, LPIPS (if given)
    lpips - 0.01 level + 0.001 i, and the time (if given) seconds 4^level.
    """

    def make(
        dataset="bricks",
        variant="mipnerf",
        scene="wall",
        psnr=30.0,
        ssim=0.9,
        lpips=None,
        seconds=None,
        levels=(0, 1, 2, 3),
        test_views=2,
        model=None,
        **changes,
    ):
        folder = tmp_path / "results" / dataset / variant / scene
        rows = [
            (dataset, variant, scene, level, view, metric, value)
            for level in levels
            for view in range(test_views)
            for metric, value in (
                ("psnr", psnr + level + 0.1 * view),
                ("ssim", ssim + 0.01 * level + 0.001 * view),
                ("lpips", lpips and lpips - 0.01 * level + 0.001 * view),
                ("seconds_per_megapixel", seconds and seconds * 4**level),
            )
            if value is not None
        ]
        write_metrics(folder / "metrics.csv", pd.DataFrame(rows, columns=COLUMNS))
        values = {
            "max_steps": 1000,
            "batch_size": 512,
            "width": 128,
            "height": 96,
            "train_seconds": 3725.4,
            "train_views": 100,
            "data_verified": None,
            "seed": 0,
        }
        values |= changes
        config = {
            "package_version": "0.1.0",
            "dataset": dataset,
            "variant": variant,
            "scene": scene,
            "levels": 4,
            "model": {"net_depth": 8, "net_width": 256, "num_samples": 128, "num_levels": 2} | (model or {}),
            "train": {key: values[key] for key in ("max_steps", "batch_size", "seed")},
            "data": {"max_test_views": None},
            "record": {
                "num_parameters": 612740,
                "device": "cpu",
                "threads": 2,
                **{key: values[key] for key in ("width", "height", "train_views", "train_seconds", "data_verified")},
            },
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        write_history(folder / "history.csv", final=psnr)
        return folder

    return make


@pytest.fixture
def make_images(tmp_path):
    """A function that writes a converted scene, noisy renderings of it into run folders, and their PSNR there."""

    def make(run_folders, size=(24, 32), num_views=2):
        generator = np.random.default_rng(0)
        folder = tmp_path / "data"
        split = {key: [] for key in ("file_path", "label", "width", "height", *CAMERA)}
        frames = [read_metrics([run_folder / "metrics.csv"]) for run_folder in run_folders]
        for view in range(num_views):
            for level in range(4):
                height, width = size[0] >> level, size[1] >> level
                image = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
                entry = {"file_path": f"images_test/{view:03d}_d{level}.png", "label": level}
                for key, value in (entry | {"width": width, "height": height} | CAMERA).items():
                    split[key].append(value)
                save_image(folder / entry["file_path"], image)
                truth = on_white(image)
                for i, (run_folder, frame) in enumerate(zip(run_folders, frames, strict=True)):
                    rendering = np.clip(truth + generator.normal(size=truth.shape) * 0.05 * (i + 1), 0, 1)
                    rendering = np.round(255 * rendering).astype(np.uint8)
                    save_image(run_folder / f"level_{level}" / "renderings" / f"{view:03d}.png", rendering)
                    is_here = (frame["level"] == level) & (frame["view"] == view) & (frame["metric"] == "psnr")
                    frame.loc[is_here, "value"] = -10 * np.log10(np.square(rendering / 255 - truth).mean())
        for run_folder, frame in zip(run_folders, frames, strict=True):
            write_metrics(run_folder / "metrics.csv", frame)
        (folder / "metadata.json").write_text(json.dumps({"test": split}))
        return folder

    return make


def on_white(image):
    values = image / 255
    return values[..., :3] * values[..., 3:] + (1 - values[..., 3:])


def save_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, image)


def write_history(path, final):
    step = np.arange(100, 4100, 100)
    psnr = final - 15 * np.exp(-step / 800) + 0.3 * np.sin(step)
    pd.DataFrame(
        {"step": step, "loss": 10 ** (-psnr / 10), "psnr": psnr, "lr": 5e-4, "rays_per_s": 900.0, "seconds": step * 0.7}
    ).to_csv(path, index=False)
