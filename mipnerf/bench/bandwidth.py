"""The other bound: how fast memory is, and what a step has to move through it."""

import torch

from mipnerf.bench.operations import level_shapes, samples_of_levels
from mipnerf.bench.speed import time_calls
from mipnerf.config import ModelConfig

BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}  # that are copied: more than caches hold


def copy_bandwidth(device: torch.device, seconds: float, size: int = 0) -> float:
    """Bytes a second that a copy within the memory of `device` reads and writes together."""
    source = torch.empty(size or BYTES[device.type], dtype=torch.uint8, device=device).zero_()
    target = torch.empty_like(source)
    return 2 * len(source) / time_calls(lambda: target.copy_(source), seconds, device).best


def training_bytes(model: ModelConfig, precision: torch.dtype) -> int:
    """Bytes for a ray where layers are fused: what each gives is written once and read once, for its gradient.

    Features are computed anew, and gradients of samples stay on the chip.
    """
    levels = zip(level_shapes(model), samples_of_levels(model), strict=True)
    outputs = sum(samples * outputs for shapes, samples in levels for _, outputs in shapes)
    return 2 * precision.itemsize * outputs
