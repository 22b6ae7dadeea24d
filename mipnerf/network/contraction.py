"""Backgrounds without end: all of space in a ball, by the equations of mip-NeRF 360 (Barron et al., CVPR 2022).

Beyond the paper. Lengths are divided by a radius first: what is nearer to the origin keeps its place, all else comes
between the unit sphere and the one of radius 2. The encoding's lowest sinusoid, whose period is 2 pi, then tells all of
that ball apart. Samples are spaced by disparity, whose steps are about even in the contracted space.

The alphabet is that of `mip.py`.
"""

import torch
from torch import Tensor

from mipnerf.network import mip


def contract(x: Tensor) -> Tensor:
    """Points [..., 3] within a distance of 2 (equation 10): x where |x| <= 1, else (2 - 1 / |x|) x / |x|."""
    n, norm = _direction(x)
    return torch.where(norm <= 1, x, (2 - 1 / norm) * n)


def contract_gaussians(means: Tensor, covs: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Gaussians through the contraction, linearised at their means (equation 9): contract(mu), J Sigma J^T.

    Args:
        means: [..., 3].
        covs: diagonals [..., 3] or [..., 3, 3]; what is returned has the same shape.
        radius: the length that becomes 1.
    """
    x = means / radius
    a, b, n = _jacobian(x)
    if covs.dim() == means.dim():
        # The diagonal of (a I + (b - a) n n^T) diag(v) (a I + (b - a) n n^T).
        v, square, c = covs / radius**2, n**2, b - a
        return contract(x), v * a**2 + square * (2 * a * c * v + c**2 * (square * v).sum(-1, keepdim=True))
    eye = torch.eye(3, dtype=x.dtype, device=x.device)
    jacobian = a[..., None] * eye + (b - a)[..., None] * (n[..., :, None] * n[..., None, :])
    return contract(x), jacobian @ (covs / radius**2) @ jacobian


def cast_rays(
    t_vals: Tensor, origins: Tensor, directions: Tensor, radii: Tensor, ray_shape: str, radius: float
) -> tuple[Tensor, Tensor]:
    """Contracted Gaussians of the intervals of rays: means [..., S, 3] and diagonals [..., S, 3] of covariances.

    Arguments are those of `mip.cast_rays`, and `radius` as for `contract_gaussians`. Those covariances are not diagonal
    before: t_var d d^T + r_var (I - d d^T / |d|^2), so with J d at hand the diagonal of J Sigma J^T is exact as well.
    """
    t_mean, t_var, r_var = mip.MOMENTS[ray_shape](t_vals[..., :-1], t_vals[..., 1:], radii)
    d = directions[..., None, :] / radius
    x = origins[..., None, :] / radius + t_mean[..., None] * d
    a, b, n = _jacobian(x)
    jd_square = (a * d + (b - a) * (d * n).sum(-1, keepdim=True) * n) ** 2
    d_mag_sq = (d**2).sum(-1, keepdim=True).clamp_min(1e-10 / radius**2)
    across = (a**2 + (b**2 - a**2) * n**2 - jd_square / d_mag_sq).clamp_min(0)
    return contract(x), t_var[..., None] * jd_square + (r_var / radius**2)[..., None] * across


def stratified_t_vals(
    count: int, near: Tensor, far: Tensor, randomized: bool, generator: torch.Generator | None = None
) -> Tensor:
    """[N, count] values from near [N, 1] > 0 to far, evenly spaced in disparity or each drawn from its stratum."""
    # Minus the disparity grows with t, and keeps its digits where the disparity is small.
    return -1 / mip.stratified_t_vals(count, -1 / near, -1 / far, randomized, lindisp=False, generator=generator)


def resampled_t_vals(
    t_vals: Tensor,
    weights: Tensor,
    randomized: bool,
    stop_grad: bool,
    resample_padding: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """[N, S+1]: new end points as `mip.resample_along_rays` has them, but even in the disparity of each interval."""
    weights = mip.blurred(weights, resample_padding)
    if stop_grad:
        weights = weights.detach()
    bins = -1 / t_vals
    return -1 / mip.sorted_piecewise_constant_pdf(bins, weights, t_vals.shape[-1], randomized, generator)


def mean_disparity_distance(weights: Tensor, t_vals: Tensor, acc: Tensor, empty_distance: str) -> Tensor:
    """[N]: the distance of the mean disparity, which a little haze far behind a surface does not move.

    Args:
        weights: [N, S].
        t_vals: [N, S+1], positive.
        acc: [N], the sum of `weights`.
        empty_distance: `near` or `far`, for rays that meet nothing.
    """
    disparity = 0.5 * (1 / t_vals[..., :-1] + 1 / t_vals[..., 1:])
    distance = torch.nan_to_num(acc / (weights * disparity).sum(-1), 0 if empty_distance == "near" else torch.inf)
    return torch.clamp(distance, t_vals[..., 0], t_vals[..., -1])


def _direction(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / |x| [..., 3], and |x| [..., 1] or 1 where it is smaller: there nothing depends on either."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1)
    return x / norm, norm


def _jacobian(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a, b [..., 1] and n [..., 3]: the Jacobian of `contract` at x is a (I - n n^T) + b n n^T, n = x / |x|.

    Within the unit ball a = b = 1, whatever n.
    """
    n, norm = _direction(x)
    return (2 - 1 / norm) / norm, 1 / norm**2, n
