"""Images from a model: all rays of a view, a chunk at a time."""

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from mipnerf.cameras import Cameras, Rays, image_rays
from mipnerf.config import ModelConfig
from mipnerf.devices import autocast, free_memory
from mipnerf.errors import ConfigError
from mipnerf.network.model import MipNerf
from mipnerf.workers import Mapper

log = logging.getLogger(__name__)

# Samples computed at a time: on a CPU they should stay in the caches of a core, a GPU is full with the most of these.
CPU_CHUNK_SAMPLES = {torch.float32: 1 << 13, torch.bfloat16: 1 << 14}
MIN_GPU_CHUNK_SAMPLES = 1 << 13
MAX_GPU_CHUNK_SAMPLES = 1 << 22
GPU_MEMORY_SHARE = 0.25  # of what is free, by an estimate that leaves out what is small


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
    workers: Mapper | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """rgb [N, 3], distance [N] and acc [N] of the finest level for N rays.

    `chunk_rays` are rendered at a time; 0 finds what suits the device, and on a GPU what fits.
    """
    device = rays.origins.device
    chunk = chunk_rays or suitable_chunk(model.config, device, precision)

    def render_chunk(start: int) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode(), autocast(device, precision):
            return model(rays[start : start + chunk], randomized=False, white_bkgd=white_bkgd)[-1]

    while True:
        starts = range(0, len(rays), chunk)
        try:
            parts = list(workers.map(render_chunk, starts) if workers else map(render_chunk, starts))
            break
        except torch.cuda.OutOfMemoryError as error:
            if chunk_rays or chunk == 1:
                raise ConfigError(
                    f"{chunk} rays at a time do not fit into the memory of the GPU; lower operation.render_rays "
                    f"(0 finds what fits) ({error})"
                ) from None
            chunk = -(-chunk // 2)
        # Outside of the handler, where the error no longer holds on to what filled the memory.
        torch.cuda.empty_cache()
        log.warning("out of memory: %d rays are rendered at a time", chunk)
    rgb, distance, acc = (torch.cat(values) for values in zip(*parts, strict=True))
    return rgb, distance, acc


def suitable_chunk(model: ModelConfig, device: torch.device, precision: torch.dtype) -> int:
    """Rays to render at a time: as many as a CPU's caches hold, or as a GPU has memory for."""
    samples = CPU_CHUNK_SAMPLES[precision]
    if device.type != "cpu":
        samples = MIN_GPU_CHUNK_SAMPLES
        # Features of samples and what a layer makes of them, in float32.
        bytes_per_sample = 4 * (6 * (model.max_deg_point - model.min_deg_point) + 3 * model.net_width)
        fitting = GPU_MEMORY_SHARE * free_memory(device) / bytes_per_sample
        while 2 * samples <= min(fitting, MAX_GPU_CHUNK_SAMPLES):
            samples *= 2
    return max(1, samples // (model.num_samples + model.num_fine_samples))


def render_image(
    model: MipNerf,
    cameras: Cameras,
    view: int,
    height: int,
    width: int,
    white_bkgd: bool,
    precision: torch.dtype = torch.float32,
    chunk_rays: int = 0,
    workers: Mapper | None = None,
) -> Rendering:
    """Render a view of `cameras`, deterministically."""
    rays, options = image_rays(cameras, view, height, width), (white_bkgd, precision, chunk_rays, workers)
    if cameras.box is None:
        rgb, distance, acc = render_rays(model, rays, *options)
    else:
        # Rays that miss the box see the background and nothing else, which needs no network.
        bound = cameras.nears if model.config.empty_distance == "near" else cameras.fars
        rgb, acc = torch.full_like(rays.origins, float(white_bkgd)), torch.zeros_like(rays.near[:, 0])
        distance, is_met = bound[view].repeat(len(rays)), rays.meet_box
        if is_met.any():
            rgb[is_met], distance[is_met], acc[is_met] = render_rays(model, rays[is_met], *options)
    return Rendering(rgb.view(height, width, 3), distance.view(height, width), acc.view(height, width))
