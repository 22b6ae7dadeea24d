"""The integrated encoding in few transcendental calls, for networks that read it in bfloat16."""

import torch
from torch import Tensor

LONGEST_CHAIN = 5  # degrees that follow from one sine, cosine and exponential; each doubles (quadruples) their error


def encode_by_doubling(means: Tensor, covs: Tensor, min_deg: int, max_deg: int, dtype: torch.dtype) -> Tensor:
    """`mip.integrated_pos_enc` of float32 Gaussians with diagonal covariances, in `dtype`, off by less than 2e-5.

    Every few degrees sines and exponentials are computed anew; those between come from the formulas of the double
    angle and from fourth powers. Angles are those of the true sine, without the reference's rounded period.

    Args:
        means, covs: [..., 3].

    Returns:
        [..., 6 (max_deg - min_deg)], with the samples next to each other in memory.
    """
    shape, dimensions = means.shape[:-1], means.shape[-1]
    degrees = max_deg - min_deg
    chains = -(-degrees // LONGEST_CHAIN)
    length = -(-degrees // chains)
    scales = 2.0 ** torch.arange(min_deg, max_deg, length, dtype=means.dtype, device=means.device)[:, None, None]
    angles = scales * means.reshape(-1, dimensions).t()  # [chains, 3, samples]
    sin, cos = torch.sin(angles), torch.cos(angles)
    damping = torch.exp(-0.5 * scales**2 * covs.reshape(-1, dimensions).t())
    one = torch.ones((), dtype=means.dtype, device=means.device)
    features = torch.empty(2, chains, length, *angles.shape[1:], dtype=dtype, device=means.device)
    for i in range(length):
        if i:
            sin, cos = (sin * cos).mul_(2), torch.addcmul(one, sin, sin, value=-2)
            damping = damping.square().square_()
        features[0, :, i] = sin * damping
        features[1, :, i] = cos * damping
    features = features.flatten(1, 2)[:, :degrees].reshape(-1, angles.shape[-1])
    return features.t().unflatten(0, shape)
