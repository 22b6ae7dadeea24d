"""Pixels as they are stored, and the colours that they stand for."""

import numpy as np
import torch
from torch import Tensor

from mipnerf.datasets.scene import Scene


def integer_tensor(image: np.ndarray) -> Tensor:
    """`image`, uint8 or uint16, as a tensor; 16 bits are widened, as few operations know uint16."""
    return torch.from_numpy(image if image.dtype == np.uint8 else image.astype(np.int32))


def to_rgb(colors: Tensor, white_bkgd: bool, max_value: int = 255) -> Tensor:
    """Integer colours [..., 3] or [..., 4] as float32 [..., 3] in [0, 1], composited on white or their alpha ignored.

    Straight alpha is blended as google/mipnerf does; without `white_bkgd` it drops the alpha channel.
    """
    values = colors.to(torch.float32) / max_value
    if values.shape[-1] == 3 or not white_bkgd:
        return values[..., :3]
    alpha = values[..., 3:]
    return values[..., :3] * alpha + (1 - alpha)


def true_rgb(scene: Scene, view: int, white_bkgd: bool, device: torch.device) -> Tensor:
    """The colours [H, W, 3] in [0, 1] that a view of `scene` should have, on `device`."""
    return to_rgb(integer_tensor(scene.images[view]).to(device), white_bkgd, scene.max_value)


def counted(scene: Scene, view: int, device: torch.device) -> Tensor | None:
    """Which pixels [H, W] of a view count, on `device`; None where all do."""
    if scene.masks is None or scene.masks[view].all():
        return None
    return torch.as_tensor(scene.masks[view], device=device)


def is_foreground(colors: Tensor) -> Tensor:
    """Which of the integer colours [..., 3] or [..., 4] are not transparent."""
    return colors[..., 3] > 0 if colors.shape[-1] == 4 else torch.ones_like(colors[..., 0], dtype=torch.bool)
