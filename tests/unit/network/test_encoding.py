"""The encoding by doubling against sines and exponentials in float64."""

import numpy as np
import pytest
import torch

from mipnerf.network import mip
from mipnerf.network.encoding import encode_by_doubling


def exact(means: torch.Tensor, covs: torch.Tensor, min_deg: int, max_deg: int) -> np.ndarray:
    """[..., 6 degrees] float64, feature by feature."""
    means, covs = means.double().numpy(), covs.double().numpy()
    sines, cosines = [], []
    for degree in range(min_deg, max_deg):
        damping = np.exp(-0.5 * 4.0**degree * covs)
        sines.append(np.sin(2.0**degree * means) * damping)
        cosines.append(np.cos(2.0**degree * means) * damping)
    return np.concatenate(sines + cosines, axis=-1)


@pytest.mark.parametrize(("min_deg", "max_deg"), [(0, 16), (0, 10), (0, 1), (2, 9), (0, 11)])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-3, 1.0])
def test_the_error_is_far_below_what_bfloat16_can_tell(min_deg, max_deg, spread):
    generator = torch.Generator().manual_seed(max_deg)
    means = 12 * torch.rand(5, 2000, 3, generator=generator) - 6
    covs = spread * torch.rand(5, 2000, 3, generator=generator)
    features = encode_by_doubling(means, covs, min_deg, max_deg, torch.float32)
    assert features.shape == (5, 2000, 6 * (max_deg - min_deg))
    assert np.abs(features.numpy() - exact(means, covs, min_deg, max_deg)).max() < 2e-5


def test_bfloat16_features_are_those_of_the_reference_to_the_last_place_or_so():
    """Without damping, within the angles that the reference does not reduce."""
    generator = torch.Generator().manual_seed(0)
    means = 8 * torch.rand(1000, 7, 3, generator=generator) - 4
    covs = torch.rand(1000, 7, 3, generator=generator) * 1e-4
    features = encode_by_doubling(means, covs, 0, 6, torch.bfloat16)
    expected = mip.integrated_pos_enc((means, covs), 0, 6)
    assert features.dtype == torch.bfloat16
    assert (features.float() - expected).abs().max() <= 2.0**-8 / 2 + 3e-5
