"""Random arguments for the functions of mipnerf.network.mip, in float64."""

import numpy as np
import torch
from hypothesis import strategies as st

from mipnerf.network import mip

seeds = st.integers(0, 2**32 - 1)


def random(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape))


def random_rays(seed: int, count: int = 5) -> dict[str, torch.Tensor]:
    return {
        "origins": random(count, 3, seed=seed, low=-2, high=2),
        "directions": random(count, 3, seed=seed + 1, low=-2, high=2),
        "radii": random(count, 1, seed=seed + 2, low=1e-3, high=0.1),
    }


def random_t_vals(seed: int, count: int = 5, num_samples: int = 8) -> torch.Tensor:
    return 2 + torch.cumsum(random(count, num_samples + 1, seed=seed, low=0.01, high=0.5), dim=-1)


def resampled(t_vals: torch.Tensor, weights: torch.Tensor, seed: int = 0, **changes) -> torch.Tensor:
    """The new end points along random cones, without jitter unless `changes` say otherwise."""
    arguments = {"randomized": False, "ray_shape": "cone", "stop_grad": True, "resample_padding": 0.01} | changes
    return mip.resample_along_rays(**random_rays(seed), t_vals=t_vals, weights=weights, **arguments)[0]
