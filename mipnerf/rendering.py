"""Images from a model: all rays of a view, a chunk at a time."""

from typing import NamedTuple

import torch
from torch import Tensor

from mipnerf.batching import image_rays
from mipnerf.cameras import Cameras, Rays
from mipnerf.devices import autocast
from mipnerf.model import MipNerf
from mipnerf.workers import Workers

# Samples computed at a time: on a CPU they should stay in the caches of a core, a GPU wants to be filled.
CHUNK_SAMPLES = {"cpu": 1 << 13, "cuda": 1 << 20}


class Rendering(NamedTuple):
    """What the finest level gives for every pixel."""

    rgb: Tensor  # [H, W, 3]
    distance: Tensor  # [H, W]
    acc: Tensor  # [H, W]


def render_rays(
    model: MipNerf,
    rays: Rays,
    white_bkgd: bool,
    precision: torch.dtype = torch.float32,
    chunk_rays: int = 0,
    workers: Workers | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """rgb [N, 3], distance [N] and acc [N] of the finest level for N rays; `chunk_rays` 0 suits the device."""
    device = rays.origins.device
    samples = model.config.num_samples + model.config.num_fine_samples
    chunk = chunk_rays or max(1, CHUNK_SAMPLES[device.type] // samples)

    def render_chunk(start: int) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode(), autocast(device, precision):
            return model(rays[start : start + chunk], randomized=False, white_bkgd=white_bkgd)[-1]

    starts = range(0, len(rays), chunk)
    parts = workers.map(render_chunk, starts) if workers else map(render_chunk, starts)
    rgb, distance, acc = (torch.cat(values) for values in zip(*parts, strict=True))
    return rgb, distance, acc


def render_image(
    model: MipNerf,
    cameras: Cameras,
    view: int,
    height: int,
    width: int,
    white_bkgd: bool,
    precision: torch.dtype = torch.float32,
    chunk_rays: int = 0,
    workers: Workers | None = None,
) -> Rendering:
    """Render a view of `cameras`, deterministically."""
    rays = image_rays(cameras, view, height, width)
    rgb, distance, acc = render_rays(model, rays, white_bkgd, precision, chunk_rays, workers)
    return Rendering(rgb.view(height, width, 3), distance.view(height, width), acc.view(height, width))
