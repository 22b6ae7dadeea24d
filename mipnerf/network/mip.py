"""The mathematics of mip-NeRF: casting cones, encoding Gaussians, sampling along rays, compositing.

Pure functions of tensors, in the names, argument order and conventions of google/mipnerf `internal/mip.py` and
`internal/math.py`; the PRNG key is a keyword `generator`. No argument is modified.

The alphabet: `t_vals [..., S+1]` are the end points of S intervals along a ray, in units of `directions` (which are
not normalised); `means [..., S, 3]` and `covs` (`[..., S, 3]` diagonal or `[..., S, 3, 3]` full) are the Gaussians of
those intervals; `weights [..., S]` are the shares of the intervals in the pixel; `radii [..., 1]` are those of the
cone at unit `t`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

FLOAT32_EPS = 2.0**-23  # the reference keeps off 1 by this much in every precision
SAFE_TRIG_PERIOD = 100 * math.pi
LEAST_EXPONENT = -60.0  # of a damping: less is nothing beside any other feature, and slow where floats underflow


def safe_sin(x: Tensor) -> Tensor:
    """sin(x), the argument reduced modulo 100 pi beyond that value, as the reference does."""
    return torch.sin(_reduce_angle(x))


def safe_cos(x: Tensor) -> Tensor:
    """cos(x), the argument reduced modulo 100 pi beyond that value, as the reference does."""
    return torch.cos(_reduce_angle(x))


def _reduce_angle(x: Tensor) -> Tensor:
    """x within the period, its remainder beyond: a selection by weights 0 and 1, for CPUs twice as fast as `where`."""
    is_beyond = (x.abs() >= SAFE_TRIG_PERIOD).to(x.dtype)
    return torch.lerp(x, torch.remainder(x, SAFE_TRIG_PERIOD), is_beyond)


def _num_within_period(x: Tensor, scales: Tensor) -> int:
    """How many of the ascending `scales` [F] surely leave `x` within the period; 0 where to ask would take longer."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() == 0:
        return 0
    peak = x.detach().abs().max() + math.pi
    return int((peak * scales < SAFE_TRIG_PERIOD).sum())


def lift_gaussian(d: Tensor, t_mean: Tensor, t_var: Tensor, r_var: Tensor, diag: bool) -> tuple[Tensor, Tensor]:
    """Lift Gaussians along a ray to 3D (equations 8 and 16).

    Args:
        d: [..., 3] direction, of any length.
        t_mean, t_var: [..., S] mean and variance along the ray.
        r_var: [..., S] variance perpendicular to it.
        diag: return the diagonal [..., S, 3] of the covariance instead of [..., S, 3, 3].
    """
    mean = d[..., None, :] * t_mean[..., None]
    d_mag_sq = (d**2).sum(-1, keepdim=True).clamp_min(1e-10)
    if diag:
        d_outer_diag = d**2
        null_outer_diag = 1 - d_outer_diag / d_mag_sq
        cov_diag = t_var[..., None] * d_outer_diag[..., None, :] + r_var[..., None] * null_outer_diag[..., None, :]
        return mean, cov_diag
    d_outer = d[..., :, None] * d[..., None, :]
    eye = torch.eye(d.shape[-1], dtype=d.dtype, device=d.device)
    null_outer = eye - d[..., :, None] * (d / d_mag_sq)[..., None, :]
    t_cov = t_var[..., None, None] * d_outer[..., None, :, :]
    xy_cov = r_var[..., None, None] * null_outer[..., None, :, :]
    return mean, t_cov + xy_cov


def conical_frustum_moments(
    t0: Tensor, t1: Tensor, base_radius: Tensor, stable: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance along the ray and variance across it of conical frustums, each [..., S] (equation 7).

    Args:
        t0, t1: [..., S] where each frustum starts and ends.
        base_radius: [..., 1] radius of the cone at t = 1.
        stable: use the numerically stable form; an empty interval at t = 0 is then a point, not NaN.
    """
    if stable:
        mu = (t0 + t1) / 2
        hw = (t1 - t0) / 2
        denominator = (3 * mu**2 + hw**2).clamp_min(1e-30)
        ratio = hw**2 / denominator
        t_mean = mu + 2 * mu * ratio
        t_var = hw**2 / 3 - (4 / 15) * (ratio**2 * (12 * mu**2 - hw**2))
        r_var = base_radius**2 * (mu**2 / 4 + (5 / 12) * hw**2 - (4 / 15) * (hw**2 * ratio))
    else:
        t_mean = (3 * (t1**4 - t0**4)) / (4 * (t1**3 - t0**3))
        t_mean_of_squares = 3 / 5 * (t1**5 - t0**5) / (t1**3 - t0**3)
        t_var = t_mean_of_squares - t_mean**2
        r_var = base_radius**2 * (3 / 20 * (t1**5 - t0**5) / (t1**3 - t0**3))
    return t_mean, t_var, r_var


def conical_frustum_to_gaussian(
    d: Tensor, t0: Tensor, t1: Tensor, base_radius: Tensor, diag: bool, stable: bool = True
) -> tuple[Tensor, Tensor]:
    """Gaussians that approximate conical frustums (equation 7, or the naive equations of the appendix).

    Args:
        d: [..., 3] axis of the cone, of any length.
        t0, t1, base_radius, stable: as for `conical_frustum_moments`.
    """
    return lift_gaussian(d, *conical_frustum_moments(t0, t1, base_radius, stable), diag)


def cylinder_moments(t0: Tensor, t1: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `conical_frustum_moments`, of sections of cylinders."""
    t_mean = (t0 + t1) / 2
    r_var = (radius**2 / 4).expand_as(t_mean)
    t_var = (t1 - t0) ** 2 / 12
    return t_mean, t_var, r_var


def cylinder_to_gaussian(d: Tensor, t0: Tensor, t1: Tensor, radius: Tensor, diag: bool) -> tuple[Tensor, Tensor]:
    """Gaussians that approximate sections of cylinders; arguments as for `conical_frustum_to_gaussian`."""
    return lift_gaussian(d, *cylinder_moments(t0, t1, radius), diag)


MOMENTS: dict[str, Callable[..., tuple[Tensor, Tensor, Tensor]]] = {
    "cone": conical_frustum_moments,
    "cylinder": cylinder_moments,
}
_TO_GAUSSIAN: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "cone": conical_frustum_to_gaussian,
    "cylinder": cylinder_to_gaussian,
}


def cast_rays(
    t_vals: Tensor, origins: Tensor, directions: Tensor, radii: Tensor, ray_shape: str, diag: bool = True
) -> tuple[Tensor, Tensor]:
    """Gaussians of the intervals of rays.

    Args:
        t_vals: [..., S+1].
        origins, directions: [..., 3].
        radii: [..., 1].
        ray_shape: `cone` or `cylinder`.

    Returns:
        means [..., S, 3] and covariances [..., S, 3], or [..., S, 3, 3] without `diag`.
    """
    means, covs = _TO_GAUSSIAN[ray_shape](directions, t_vals[..., :-1], t_vals[..., 1:], radii, diag)
    return means + origins[..., None, :], covs


def expected_sin(x: Tensor, x_var: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of sin(z), z ~ N(x, x_var) (equation 13)."""
    y = torch.exp(-0.5 * x_var) * safe_sin(x)
    y_var = (0.5 * (1 - torch.exp(-2 * x_var) * safe_cos(2 * x)) - y**2).clamp_min(0)
    return y, y_var


def integrated_pos_enc(x_coord: tuple[Tensor, Tensor], min_deg: int, max_deg: int, diag: bool = True) -> Tensor:
    """Expected sinusoids of Gaussians at frequencies 2^min_deg ... 2^(max_deg - 1) (equation 14).

    Args:
        x_coord: means [..., 3] and covariances, [..., 3] or without `diag` [..., 3, 3].

    Returns:
        [..., 6 (max_deg - min_deg)]: all sines, degree by degree, then all cosines.
    """
    x, x_cov = x_coord
    scales = 2.0 ** torch.arange(min_deg, max_deg, dtype=x.dtype, device=x.device)
    basis = torch.kron(scales, torch.eye(x.shape[-1], dtype=x.dtype, device=x.device))
    # The cosine is a shifted sine, as in the reference: at high degrees the rounding of the sum shows.
    phases = 0.5 * math.pi * torch.arange(2, dtype=x.dtype, device=x.device).repeat_interleave(basis.shape[1])
    # Products with powers of two are exact, so these only scale; they must not be taken in a lower precision.
    with torch.autocast(x.device.type, enabled=False):
        y = F.linear(x, basis.T.repeat(2, 1), phases)
        y_var = x_cov @ basis**2 if diag else ((x_cov @ basis) * basis).sum(-2)
    damping = torch.exp((-0.5 * y_var).clamp_min(LEAST_EXPONENT))
    y = y.unflatten(-1, (2, -1))
    if first := x.shape[-1] * _num_within_period(x, scales):
        y[..., first:] = _reduce_angle(y[..., first:].contiguous())
    else:
        y = _reduce_angle(y)
    return (torch.sin(y) * damping[..., None, :]).flatten(-2)


def pos_enc(x: Tensor, min_deg: int, max_deg: int, append_identity: bool = True) -> Tensor:
    """The positional encoding of NeRF (equation 3): [..., D] to [..., (D +) 2 D (max_deg - min_deg)]."""
    scales = 2.0 ** torch.arange(min_deg, max_deg, dtype=x.dtype, device=x.device)
    xb = (x[..., None, :] * scales[:, None]).flatten(-2)
    features = torch.sin(torch.cat([xb, xb + 0.5 * math.pi], dim=-1))
    return torch.cat([x, features], dim=-1) if append_identity else features


def sample_along_rays(
    origins: Tensor,
    directions: Tensor,
    radii: Tensor,
    num_samples: int,
    near: Tensor,
    far: Tensor,
    randomized: bool,
    lindisp: bool,
    ray_shape: str,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Stratified intervals between near and far.

    Args:
        origins, directions: [N, 3].
        radii, near, far: [N, 1].
        num_samples: S, the number of intervals.
        randomized: jitter the end points within their strata.
        lindisp: space them linearly in disparity; near must then be positive.

    Returns:
        t_vals [N, S+1], (means [N, S, 3], diagonal covariances [N, S, 3]).
    """
    t_vals = stratified_t_vals(num_samples + 1, near, far, randomized, lindisp, generator)
    return t_vals, cast_rays(t_vals, origins, directions, radii, ray_shape)


def stratified_t_vals(
    count: int, near: Tensor, far: Tensor, randomized: bool, lindisp: bool, generator: torch.Generator | None
) -> Tensor:
    """[N, count] values from near [N, 1] to far, evenly spaced or each drawn from its stratum."""
    steps = torch.linspace(0, 1, count, dtype=near.dtype, device=near.device)
    t_vals = 1 / (1 / near * (1 - steps) + 1 / far * steps) if lindisp else near * (1 - steps) + far * steps
    if not randomized:
        return t_vals
    mids = 0.5 * (t_vals[..., 1:] + t_vals[..., :-1])
    upper = torch.cat([mids, t_vals[..., -1:]], dim=-1)
    lower = torch.cat([t_vals[..., :1], mids], dim=-1)
    jitter = torch.rand(t_vals.shape, dtype=t_vals.dtype, device=t_vals.device, generator=generator)
    return lower + (upper - lower) * jitter


def resample_along_rays(
    origins: Tensor,
    directions: Tensor,
    radii: Tensor,
    t_vals: Tensor,
    weights: Tensor,
    randomized: bool,
    ray_shape: str,
    stop_grad: bool,
    resample_padding: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """As many new intervals as there are in `t_vals` [N, S+1], where the blurred `weights` [N, S] say (section 3.1).

    `stop_grad` keeps gradients from the old weights. The new end points are generally not near and far.
    """
    weights_blur = blurred(weights, resample_padding)
    if stop_grad:
        weights_blur = weights_blur.detach()
    new_t_vals = sorted_piecewise_constant_pdf(t_vals, weights_blur, t_vals.shape[-1], randomized, generator)
    return new_t_vals, cast_rays(new_t_vals, origins, directions, radii, ray_shape)


def blurred(weights: Tensor, padding: float) -> Tensor:
    """[..., S]: `weights` [..., S], widened by the larger neighbours, and `padding` (equation 18)."""
    weights_pad = torch.cat([weights[..., :1], weights, weights[..., -1:]], dim=-1)
    weights_max = torch.maximum(weights_pad[..., :-1], weights_pad[..., 1:])
    return 0.5 * (weights_max[..., :-1] + weights_max[..., 1:]) + padding


def sorted_piecewise_constant_pdf(
    bins: Tensor, weights: Tensor, num_samples: int, randomized: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Sorted samples from a histogram by inverting its distribution function.

    Args:
        bins: [..., S+1] sorted edges.
        weights: [..., S], not negative; rows that sum to nearly nothing become uniform.

    Returns:
        [..., num_samples], sorted and within the bins; one sample in each of num_samples equal shares of probability.
    """
    epsilon = 1e-5
    weight_sum = weights.sum(-1, keepdim=True)
    padding = (epsilon - weight_sum).clamp_min(0)
    pdf = (weights + padding / weights.shape[-1]) / (weight_sum + padding)
    cdf = torch.cumsum(pdf[..., :-1], dim=-1).clamp_max(1)
    cdf = torch.cat([torch.zeros_like(pdf[..., :1]), cdf, torch.ones_like(pdf[..., :1])], dim=-1)

    shape = (*cdf.shape[:-1], num_samples)
    if randomized:
        stratum = 1 / num_samples
        jitter = torch.rand(shape, dtype=cdf.dtype, device=cdf.device, generator=generator) * (stratum - FLOAT32_EPS)
        u = torch.arange(num_samples, dtype=cdf.dtype, device=cdf.device) * stratum + jitter
        u = u.clamp_max(1 - FLOAT32_EPS)
    else:
        u = torch.linspace(0, 1 - FLOAT32_EPS, num_samples, dtype=cdf.dtype, device=cdf.device).expand(shape)

    return invert_cdf(bins, cdf, u)


def invert_cdf(bins: Tensor, cdf: Tensor, u: Tensor) -> Tensor:
    """Where the distribution function `cdf` [..., S+1], linear between edges `bins`, takes the values u [..., M]."""
    above = torch.searchsorted(cdf.detach(), u.contiguous(), right=True).clamp_max(cdf.shape[-1] - 1)
    below = above - 1
    cdf0, cdf1 = cdf.gather(-1, below), cdf.gather(-1, above)
    bins0, bins1 = bins.gather(-1, below), bins.gather(-1, above)
    t = torch.nan_to_num((u - cdf0) / (cdf1 - cdf0), 0).clamp(0, 1)
    return bins0 + t * (bins1 - bins0)


def volumetric_rendering(
    rgb: Tensor, density: Tensor, t_vals: Tensor, dirs: Tensor, white_bkgd: bool, empty_distance: str = "near"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Composite the samples of rays (equations 1 and 2, with the numerical quadrature of NeRF).

    Args:
        rgb: [N, S, 3].
        density: [N, S, 1], not negative.
        t_vals: [N, S+1].
        dirs: [N, 3], whose length scales the intervals.
        white_bkgd: add the light of a white background.
        empty_distance: the distance of a ray that meets nothing: `near`, as the reference gives, or `far`, as it means.

    Returns:
        rgb [N, 3], distance [N], acc [N], weights [N, S].
    """
    t_mids = 0.5 * (t_vals[..., :-1] + t_vals[..., 1:])
    delta = t_vals[..., 1:] - t_vals[..., :-1]
    bounds = t_vals[..., 0], t_vals[..., -1]
    return composite(rgb, density, t_mids, delta, dirs, white_bkgd, bounds, empty_distance)


def composite(
    rgb: Tensor,
    density: Tensor,
    t_vals: Tensor,
    delta: Tensor,
    dirs: Tensor,
    white_bkgd: bool,
    bounds: tuple[Tensor, Tensor],
    empty_distance: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Composite samples at `t_vals` [N, S], each standing for `delta` [N, S] of its ray; `bounds` of distances [N]."""
    density_delta = density[..., 0] * (delta * torch.linalg.norm(dirs, dim=-1, keepdim=True))
    optical_depth = torch.cumsum(density_delta[..., :-1], dim=-1)
    trans = torch.exp(-torch.cat([torch.zeros_like(density_delta[..., :1]), optical_depth], dim=-1))
    weights = (1 - torch.exp(-density_delta)) * trans

    comp_rgb = (weights[..., None] * rgb).sum(-2)
    acc = weights.sum(-1)
    # Only the distance of an empty ray is 0/0; no loss reads it, so no gradient can meet it.
    distance = torch.nan_to_num((weights * t_vals).sum(-1) / acc, 0 if empty_distance == "near" else torch.inf)
    distance = torch.clamp(distance, *bounds)
    if white_bkgd:
        comp_rgb = comp_rgb + (1 - acc[..., None])
    return comp_rgb, distance, acc, weights
