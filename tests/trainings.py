"""Small trainings of captures, and what they come to, for measurements that are run by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mipnerf.cameras import Cameras
from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.load import load_scene
from mipnerf.evaluation.metrics import mse_to_psnr
from mipnerf.evaluation.views import load_trained
from mipnerf.network.rendering import render_image
from mipnerf.pixels import counted, true_rgb
from mipnerf.training.loop import train


def psnr_after_training(capture: Path, results: Path, threads: int, **sections: dict[str, Any]) -> float:
    """Mean PSNR in dB of the test views of the scene in the folder `capture`, after a training of its own.

    `sections` are `model`, `train` and `data` of a configuration; what comes of it is in the folder `results`.
    """
    run = RunConfig(dataset="measured", variant="mipnerf", scene=capture.name, levels=1, **sections)
    train(run, OperationConfig(device="cpu"), load_scene(capture, "train", 1, run.data), results, threads=threads)
    device = torch.device("cpu")
    trained = load_trained(results / "model.pt", device)
    scene = load_scene(capture, "test", 1, run.data)
    cameras = Cameras.from_scene(scene, device, run.data)
    scores = []
    for i, (height, width) in enumerate(zip(scene.heights, scene.widths, strict=True)):
        rgb = render_image(trained.model, cameras, i, height, width, run.data.white_bkgd).rgb
        squares, mask = (rgb - true_rgb(scene, i, run.data.white_bkgd, device)) ** 2, counted(scene, i, device)
        scores.append(float(mse_to_psnr((squares if mask is None else squares[mask]).mean())))
    return float(np.mean(scores))
