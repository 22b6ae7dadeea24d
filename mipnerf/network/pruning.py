"""Leaving samples out of the backward pass, at random, so that the expected gradient stays what it is.

Most samples see empty space or are hidden: of the lego of NeRF, a fifth of them have 93 % of the gradient of what the
network gives. They are taken with a probability in proportion to their gradient, and weigh more the less likely they
were. (Beyond the paper; the idea is that of Ye et al., "Accelerating CNN Training by Pruning Activation Gradients",
ECCV 2020, here with a fixed number of samples, so that a step takes as long at the beginning as at the end.)
"""

from typing import Any

import torch
from torch import Tensor

FLOOR = 1e-6  # mean norms, added to all of them: there are always enough samples to choose from


def prune_gradients(
    raw_rgb: Tensor, raw_density: Tensor, share: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Both as they are, but with a gradient that is zero for all but a share of the samples.

    Args:
        raw_rgb: [N, S, 3], raw_density: [N, S, 1], what the network gives for samples.
        share: of the samples that are left, in (0, 1].
        generator: of the draw.
    """
    rgb, density = _Pruned.apply(raw_rgb, raw_density, random_start(raw_rgb.device, generator), share)
    return rgb, density


def random_start(device: torch.device, generator: torch.Generator | None) -> Tensor:
    """What `draw_samples` needs."""
    return torch.rand((), dtype=torch.float64, device=device, generator=generator)


def draw_samples(norms: Tensor, count: int, start: Tensor) -> tuple[Tensor, Tensor]:
    """Indices [count] of some of M samples, and the probabilities [count] that they had: min(1, norm / limit).

    They are drawn evenly along the sum of the probabilities (systematic sampling), so that none comes twice,
    but where the rounding of a sum lets it.

    Args:
        norms: [M], not negative.
        count: at most M.
        start: [], in [0, 1), the only random number.
    """
    norms = norms.double()
    norms = norms + FLOOR * norms.mean() + torch.finfo(torch.float32).tiny
    # Of the k largest, the probability is 1; the others' add up to what is left. The smallest such k is right.
    largest = norms.topk(count).values
    others = torch.maximum(norms.sum() - largest.cumsum(0) + largest, largest)  # rounded, it may be less
    limits = others / torch.arange(count, 0, -1, device=norms.device)
    limit = limits.gather(0, (largest <= limits).byte().argmax().view(1))  # an index would make the host wait
    probabilities = (norms / limit).clamp_max(1)
    sums = probabilities.cumsum(0)
    places = (torch.arange(count, device=norms.device) + start) * (sums[-1] / count)
    indices = torch.searchsorted(sums, places, right=True).clamp_max(len(norms) - 1)
    return indices, probabilities[indices]


class _Pruned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw_rgb: Tensor, raw_density: Tensor, start: Tensor, share: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(start)
        ctx.share = share
        return raw_rgb.view_as(raw_rgb), raw_density.view_as(raw_density)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_rgb: Tensor, d_density: Tensor) -> tuple[Tensor | None, ...]:
        (start,) = ctx.saved_tensors
        gradients = torch.cat([d_rgb, d_density], dim=-1).flatten(0, 1)
        count = max(1, round(ctx.share * len(gradients)))
        indices, probabilities = draw_samples(gradients.norm(dim=1), count, start)
        kept = gradients[indices] / probabilities.to(gradients.dtype)[:, None]
        pruned = torch.zeros_like(gradients).index_copy_(0, indices, kept)
        d_rgb, d_density = pruned.view(*d_rgb.shape[:-1], -1).split([d_rgb.shape[-1], d_density.shape[-1]], dim=-1)
        return d_rgb, d_density, None, None
