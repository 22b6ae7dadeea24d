"""The mathematics of NeRF, mip-NeRF's baseline: points along rays, added where the coarse level saw something.

Pure functions of tensors in the names and conventions of JaxNeRF (`jaxnerf/nerf/model_utils.py` of google-research),
the PRNG key replaced by a keyword `generator`; the alphabet is that of `mip.py`, but `t_vals [N, S]` are the samples
themselves, not the end points of intervals. No argument is modified.
"""

import torch
from torch import Tensor

from mipnerf.network import mip

# The last sample stands for all that lies behind it.
LAST_DELTA = 1e10


def sample_along_rays(
    origins: Tensor,
    directions: Tensor,
    num_samples: int,
    near: Tensor,
    far: Tensor,
    randomized: bool,
    lindisp: bool,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Stratified points from near to far, both included unless `randomized`.

    Args:
        origins, directions: [N, 3].
        near, far: [N, 1].
        num_samples: S.
        lindisp: space them linearly in disparity; near must then be positive.

    Returns:
        t_vals [N, S], points [N, S, 3].
    """
    t_vals = mip.stratified_t_vals(num_samples, near, far, randomized, lindisp, generator)
    return t_vals, points_at(t_vals, origins, directions)


def sample_pdf(
    origins: Tensor,
    directions: Tensor,
    t_vals: Tensor,
    weights: Tensor,
    num_samples: int,
    randomized: bool,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """The samples `t_vals` [N, S] and `num_samples` more, drawn where `weights` [N, S] are large, sorted.

    The histogram has its edges halfway between samples, so the first and the last weight are not used. No gradient
    reaches the weights.

    Returns:
        t_vals [N, S + num_samples], points [N, S + num_samples, 3].
    """
    mids = 0.5 * (t_vals[..., 1:] + t_vals[..., :-1])
    new_t_vals = piecewise_constant_pdf(mids, weights[..., 1:-1].detach(), num_samples, randomized, generator)
    t_vals = torch.sort(torch.cat([t_vals, new_t_vals], dim=-1), dim=-1).values
    return t_vals, points_at(t_vals, origins, directions)


def piecewise_constant_pdf(
    bins: Tensor, weights: Tensor, num_samples: int, randomized: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Samples from a histogram by inverting its distribution function: independent draws, or evenly spaced quantiles.

    Args:
        bins: [N, S+1] sorted edges.
        weights: [N, S], not negative.

    Returns:
        [N, num_samples] within the bins; not sorted if `randomized`.
    """
    weights = weights + 1e-5
    pdf = weights / weights.sum(-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(pdf[..., :1]), torch.cumsum(pdf, dim=-1)], dim=-1)
    shape = (*cdf.shape[:-1], num_samples)
    if randomized:
        u = torch.rand(shape, dtype=cdf.dtype, device=cdf.device, generator=generator)
    else:
        u = torch.linspace(0, 1, num_samples, dtype=cdf.dtype, device=cdf.device).expand(shape)
    return mip.invert_cdf(bins, cdf, u)


def points_at(t_vals: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """[N, S, 3]: the points at `t_vals` [N, S] along rays [N, 3]."""
    return origins[..., None, :] + t_vals[..., None] * directions[..., None, :]


def volumetric_rendering(
    rgb: Tensor, density: Tensor, t_vals: Tensor, dirs: Tensor, white_bkgd: bool, empty_distance: str = "near"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Composite point samples: each stands for the way to the next, the last for all that is behind it.

    Args and returns are those of `mipnerf.network.mip.volumetric_rendering`, with t_vals [N, S].
    """
    last = torch.full_like(t_vals[..., :1], LAST_DELTA)
    delta = torch.cat([t_vals[..., 1:] - t_vals[..., :-1], last], dim=-1)
    bounds = t_vals[..., 0], t_vals[..., -1]
    return mip.composite(rgb, density, t_vals, delta, dirs, white_bkgd, bounds, empty_distance)
