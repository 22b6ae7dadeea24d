"""One step of training: the loss of the reference, its gradient clipping, and what moves the parameters."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mipnerf.config import DataConfig, TrainConfig
from mipnerf.devices import autocast
from mipnerf.network.model import LevelOutput, MipNerf
from mipnerf.training.adam import Adam
from mipnerf.training.batching import Batch
from mipnerf.training.distributed import ALONE, World
from mipnerf.training.forks import Forks, Gradient
from mipnerf.training.muon import Muon
from mipnerf.workers import Workers


class Loss(NamedTuple):
    """`losses` [L] are those of the levels, three times their mean squared errors; `loss` is their weighted sum."""

    loss: Tensor
    losses: Tensor


def compute_loss(
    outputs: Sequence[LevelOutput | tuple[Tensor, ...]],
    pixels: Tensor,
    lossmult: Tensor,
    config: TrainConfig,
    importance: Tensor | None = None,
    mask_sum: Tensor | None = None,
) -> Loss:
    """The loss of `train_step` in google/mipnerf, without weight decay.

    Args:
        outputs: per level, rgb [N, 3] first.
        pixels: [N, 3].
        lossmult: [N, 1], the area of each pixel; it weighs all three channels but is summed once.
        importance: [N, 1], weights of draws that were not uniform.
        mask_sum: sum of `loss_mask` over the whole batch, where this is a part of one.
    """
    mask = loss_mask(lossmult, config, importance)
    normalizer = mask.sum() if mask_sum is None else mask_sum
    losses = torch.stack([(mask * (output[0] - pixels) ** 2).sum() / normalizer for output in outputs])
    return Loss(config.coarse_loss_mult * losses[:-1].sum() + losses[-1], losses)


def loss_mask(lossmult: Tensor, config: TrainConfig, importance: Tensor | None = None) -> Tensor:
    """The weight [N, 1] of each ray in the loss."""
    mask = torch.ones_like(lossmult) if config.disable_multiscale_loss else lossmult
    return mask if importance is None else mask * importance


def weight_l2(parameters: Iterable[Tensor]) -> Tensor:
    """Mean square of all parameters, biases too."""
    parameters = list(parameters)
    return reduce(torch.add, ((p**2).sum() for p in parameters)) / sum(p.numel() for p in parameters)


def clip_gradients_(parameters: Iterable[nn.Parameter], max_val: float, max_norm: float) -> None:
    """Clip gradients in place, each to `max_val` and then their norm to `max_norm`; 0 leaves them."""
    parameters = list(parameters)
    if max_val > 0:
        nn.utils.clip_grad_value_(parameters, max_val)
    if max_norm > 0:
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.sqrt(reduce(torch.add, ((g**2).sum() for g in gradients)))
        scale = (max_norm / (norm + 1e-7)).clamp_max(1)
        for g in gradients:
            g.mul_(scale)


def make_optimizer(
    model: nn.Module, train: TrainConfig = TrainConfig(), precision: torch.dtype = torch.float32
) -> Adam | Muon:
    """What `train` says for all parameters; the learning rate is set at every step.

    Args:
        precision: of products, which Muon has and Adam has not.
    """
    return Muon(model.parameters(), precision) if train.optimizer == "muon" else Adam(model.parameters())


def part_seed(run_seed: int, step: int, start: int) -> int:
    """A seed whose every bit depends on all three: generators on a CPU look at 32 bits only."""
    text = f"{run_seed} {step} {start}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest())


def _seed(seed: int, device: torch.device, is_global: bool) -> torch.Generator | None:
    """A generator of its own, or PyTorch's, which is the one that compiled code reads."""
    if is_global:
        torch.manual_seed(seed)
        return None
    return torch.Generator(device).manual_seed(seed)


def part_gradients(
    model: MipNerf,
    batch: Batch,
    train: TrainConfig,
    data: DataConfig,
    precision: torch.dtype,
    parts: Mapping[int, slice],
    seed: tuple[int, int],
    compiled: Callable[..., list[LevelOutput]] | None = None,
    generators: Mapping[int, torch.Generator] | None = None,
) -> Callable[[int], Gradient]:
    """What gives losses [L] and gradients of the part of `batch` that begins at a ray; their sum is the batch's."""
    lossmult = batch.rays.lossmult
    mask_sum = loss_mask(lossmult, train, batch.importance).sum()
    parameters = list(model.parameters())

    def gradient_of_part(start: int) -> Gradient:
        part = parts[start]
        if generators is None:
            generator = _seed(part_seed(*seed, start), lossmult.device, is_global=compiled is not None)
        else:
            generator = None if compiled is not None else generators[start]
        with torch.enable_grad(), autocast(lossmult.device, precision):
            outputs = (compiled or model.render_levels)(batch.rays[part], train.randomized, data.white_bkgd, generator)
        loss = compute_loss(outputs, batch.pixels[part], lossmult[part], train, batch.importance[part], mask_sum)
        return loss.losses.detach(), torch.autograd.grad(loss.loss, parameters)

    return gradient_of_part


def parts_of(rays: range, part_size: int) -> dict[int, slice]:
    """Parts of at most `part_size` of these rays of a batch, by their first."""
    return {start: slice(start, min(start + part_size, rays.stop)) for start in range(rays.start, rays.stop, part_size)}


def batch_gradients(
    model: MipNerf,
    batch: Batch,
    train: TrainConfig,
    data: DataConfig,
    precision: torch.dtype = torch.float32,
    microbatch_rays: int | None = None,
    seed: tuple[int, int] = (0, 0),
    workers: Workers | None = None,
    compiled: Callable[..., list[LevelOutput]] | None = None,
    share: range | None = None,
    generators: Mapping[int, torch.Generator] | None = None,
    forks: Forks | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """The losses [L] of the levels and the gradients of all parameters; arguments are those of `train_step`."""
    parts = parts_of(share or range(len(batch.rays)), microbatch_rays or len(batch.rays))
    gradient_of_part = part_gradients(model, batch, train, data, precision, parts, seed, compiled, generators)
    results: Iterator[Gradient]
    if forks is not None:
        results = forks.gather(map(gradient_of_part, list(parts)[:: forks.count]))
    else:
        results = workers.map(gradient_of_part, parts) if workers else map(gradient_of_part, parts)
    losses, gradients = next(results)
    for more_losses, more_gradients in results:
        losses = losses + more_losses
        gradients = [whole + part for whole, part in zip(gradients, more_gradients, strict=True)]
    return losses, list(gradients)


def train_step(
    model: MipNerf,
    optimizer: Adam | Muon,
    batch: Batch,
    learning_rate: float | None,
    train: TrainConfig,
    data: DataConfig,
    precision: torch.dtype = torch.float32,
    microbatch_rays: int | None = None,
    seed: tuple[int, int] = (0, 0),
    workers: Workers | None = None,
    compiled: Callable[..., list[LevelOutput]] | None = None,
    share: range | None = None,
    world: World = ALONE,
    generators: Mapping[int, torch.Generator] | None = None,
    forks: Forks | None = None,
) -> Tensor:
    """Take one step and return the losses [L] of the levels, still on the device.

    Args:
        learning_rate: None takes the one that is set.
        microbatch_rays: compute parts of this many rays; the gradient stays that of the whole, since every
            part is divided by the batch's sum of weights.
        seed: of the jitter, of the run and the step; each part draws its own.
        workers: compute the parts beside one another; they are added in their order.
        compiled: `model.render_levels` after `torch.compile`; not with more than one worker.
        share: the rays that are computed here, by default all.
        world: the processes that compute the other rays; losses and gradients are summed over them.
        generators: what the parts draw their jitter from, by their first ray, instead of `seed`.
        forks: processes that have begun with their parts of this batch, in place of `workers`.
    """
    losses, gradients = batch_gradients(
        model, batch, train, data, precision, microbatch_rays, seed, workers, compiled, share, generators, forks
    )
    losses, *gradients = world.sum([losses, *gradients])
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    if train.weight_decay_mult > 0:
        (train.weight_decay_mult * weight_l2(parameters)).backward()
    clip_gradients_(parameters, train.grad_max_val, train.grad_max_norm)
    if learning_rate is not None:
        optimizer.set_learning_rate(learning_rate)
    optimizer.step(workers)
    return losses
