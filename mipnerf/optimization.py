"""One step of training: the loss of the reference, its gradient clipping, Adam."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mipnerf.batching import Batch
from mipnerf.config import DataConfig, TrainConfig
from mipnerf.devices import autocast
from mipnerf.model import LevelOutput, MipNerf


class Loss(NamedTuple):
    """`losses` [L] are those of the levels, three times their mean squared errors; `loss` is their weighted sum."""

    loss: Tensor
    losses: Tensor


def compute_loss(
    outputs: Sequence[LevelOutput | tuple[Tensor, ...]],
    pixels: Tensor,
    lossmult: Tensor,
    config: TrainConfig,
    lossmult_sum: Tensor | None = None,
) -> Loss:
    """The loss of `train_step` in google/mipnerf, without weight decay.

    Args:
        outputs: per level, rgb [N, 3] first.
        pixels: [N, 3].
        lossmult: [N, 1], the area of each pixel; it weighs all three channels but is summed once.
        lossmult_sum: its sum over the whole batch, where this is a part of one.
    """
    mask = torch.ones_like(lossmult) if config.disable_multiscale_loss else lossmult
    normalizer = mask.sum() if lossmult_sum is None else lossmult_sum
    losses = torch.stack([(mask * (output[0] - pixels) ** 2).sum() / normalizer for output in outputs])
    return Loss(config.coarse_loss_mult * losses[:-1].sum() + losses[-1], losses)


def weight_l2(parameters: Iterable[Tensor]) -> Tensor:
    """Mean square of all parameters, biases too."""
    parameters = list(parameters)
    return sum((p**2).sum() for p in parameters) / sum(p.numel() for p in parameters)


def clip_gradients_(parameters: Iterable[nn.Parameter], max_val: float, max_norm: float) -> None:
    """Clip gradients in place, each to `max_val` and then their norm to `max_norm`; 0 leaves them."""
    parameters = list(parameters)
    if max_val > 0:
        nn.utils.clip_grad_value_(parameters, max_val)
    if max_norm > 0:
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        scale = (max_norm / (norm + 1e-7)).clamp_max(1)
        for p in parameters:
            p.grad.mul_(scale)


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Adam as the reference has it; the learning rate is set at every step."""
    return torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True)


def train_step(
    model: MipNerf,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    learning_rate: float,
    train: TrainConfig,
    data: DataConfig,
    precision: torch.dtype = torch.float32,
    microbatch_rays: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take one step and return the losses [L] of the levels, still on the device.

    `microbatch_rays` splits the batch; the gradient stays that of the whole, since every part is divided by the
    batch's sum of weights.
    """
    optimizer.zero_grad(set_to_none=True)
    lossmult = batch.rays.lossmult
    lossmult_sum = torch.ones_like(lossmult).sum() if train.disable_multiscale_loss else lossmult.sum()
    part_size = microbatch_rays or len(batch.rays)
    total = torch.zeros(model.config.num_levels, device=lossmult.device)
    for start in range(0, len(batch.rays), part_size):
        part = slice(start, start + part_size)
        with autocast(lossmult.device, precision):
            outputs = model.render_levels(batch.rays[part], train.randomized, data.white_bkgd, generator)
        loss = compute_loss(outputs, batch.pixels[part], lossmult[part], train, lossmult_sum)
        loss.loss.backward()
        total += loss.losses.detach()
    if train.weight_decay_mult > 0:
        (train.weight_decay_mult * weight_l2(model.parameters())).backward()
    clip_gradients_(model.parameters(), train.grad_max_val, train.grad_max_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return total
