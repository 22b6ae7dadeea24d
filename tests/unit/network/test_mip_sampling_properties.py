"""Sampling and compositing of mipnerf.network.mip against loops, and what must hold for any input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mip_inputs import random, random_rays, random_t_vals, resampled, seeds

from mipnerf.network import mip

# --- Sampling


@pytest.mark.parametrize("lindisp", [True, False])
def test_samples_are_evenly_spaced_in_distance_or_disparity(lindisp):
    rays, near, far = random_rays(0), random(5, 1, seed=9, low=0.5, high=1), random(5, 1, seed=10, low=3, high=9)
    t_vals, _ = mip.sample_along_rays(
        **rays, num_samples=8, near=near, far=far, randomized=False, lindisp=lindisp, ray_shape="cone"
    )
    torch.testing.assert_close(t_vals[:, [0, -1]], torch.cat([near, far], dim=-1))
    steps = torch.diff(1 / t_vals if lindisp else t_vals)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))


@pytest.mark.parametrize("lindisp", [True, False])
@given(seed=seeds)
def test_randomized_samples_stay_within_their_strata(lindisp, seed):
    rays, near, far = random_rays(0), torch.full((5, 1), 2.0).double(), torch.full((5, 1), 6.0).double()
    fixed = {"num_samples": 8, "near": near, "far": far, "lindisp": lindisp, "ray_shape": "cone"}
    regular, _ = mip.sample_along_rays(**rays, **fixed, randomized=False)
    generator = torch.Generator().manual_seed(seed)
    t_vals, (means, _) = mip.sample_along_rays(**rays, **fixed, randomized=True, generator=generator)
    middles = (regular[:, 1:] + regular[:, :-1]) / 2
    assert (t_vals >= torch.cat([near, middles], dim=-1)).all()
    assert (t_vals <= torch.cat([middles, far], dim=-1)).all()
    assert (torch.diff(t_vals) > 0).all()
    assert len(torch.unique(t_vals[:, 3])) == 5  # every ray has its own jitter
    assert torch.equal(means, mip.cast_rays(t_vals, **rays, ray_shape="cone")[0])


def test_randomized_samples_fill_their_strata():
    count = 20_000
    ones = torch.ones(count, 3, dtype=torch.float64)
    t_vals, _ = mip.sample_along_rays(
        *(ones, ones, ones[:, :1]),
        num_samples=4,
        near=0 * ones[:, :1],
        far=4 * ones[:, :1],
        randomized=True,
        lindisp=False,
        ray_shape="cone",
        generator=torch.Generator().manual_seed(0),
    )
    edges = torch.tensor([0, 0.5, 1.5, 2.5, 3.5, 4.0], dtype=torch.float64)
    position = (t_vals - edges[:-1]) / torch.diff(edges)  # uniform in [0, 1]
    torch.testing.assert_close(position.mean(0), torch.full((5,), 0.5).double(), rtol=0, atol=0.01)
    torch.testing.assert_close(position.var(0), torch.full((5,), 1 / 12).double(), rtol=0, atol=0.002)


def inverse_cdf_by_loop(bins: list[float], weights: list[float], us: list[float]) -> list[float]:
    """Samples at probabilities `us` of one histogram, found by walking through it."""
    missing = max(0.0, 1e-5 - sum(weights))
    weights = [w + missing / len(weights) for w in weights]
    total = sum(weights)
    samples = []
    for u in us:
        below, i = 0.0, 0
        while i < len(weights) - 1 and below + weights[i] / total <= u:
            below += weights[i] / total
            i += 1
        share = (u - below) / (weights[i] / total)
        samples.append(bins[i] + min(max(share, 0.0), 1.0) * (bins[i + 1] - bins[i]))
    return samples


histograms = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 10)), min_size=1, max_size=12)


@given(weights=histograms, num_samples=st.integers(2, 40), seed=seeds)
def test_inverse_transform_sampling_against_a_loop(weights, num_samples, seed):
    # Edges of the histogram must not fall on the grid of probabilities: the side of a tie is a matter of rounding.
    weights = [w * (1 + 0.1 * math.sin(i + seed % 97)) for i, w in enumerate(weights)]
    bins = random_t_vals(seed, 1, len(weights))[0]
    us = [i * (1 - 2**-23) / (num_samples - 1) for i in range(num_samples)]
    samples = mip.sorted_piecewise_constant_pdf(
        bins[None], torch.tensor([weights], dtype=torch.float64), num_samples, randomized=False
    )
    edges = np.cumsum(weights) / sum(weights) if sum(weights) else np.linspace(0, 1, len(weights) + 1)[1:]
    safe = np.abs(np.subtract.outer(us, edges[:-1])).min(axis=-1, initial=1) > 1e-9
    np.testing.assert_allclose(
        samples[0][safe], np.array(inverse_cdf_by_loop(bins.tolist(), weights, us))[safe], rtol=1e-6
    )


@pytest.mark.parametrize("randomized", [True, False])
@given(weights=histograms, num_samples=st.integers(1, 40), seed=seeds)
def test_inverse_transform_samples_are_sorted_and_within_the_bins(randomized, weights, num_samples, seed):
    bins = random_t_vals(seed, 1, len(weights))
    samples = mip.sorted_piecewise_constant_pdf(
        bins, torch.tensor([weights], dtype=torch.float64), num_samples, randomized, torch.Generator().manual_seed(seed)
    )
    assert samples.shape == (1, num_samples)
    assert (torch.diff(samples) >= 0).all()
    assert bins[0, 0] <= samples.min()
    assert samples.max() <= bins[0, -1]


def test_randomized_inverse_transform_draws_one_sample_per_stratum():
    count, n = 2000, 10
    bins = torch.linspace(0, 1, 5, dtype=torch.float64).expand(count, 5)
    samples = mip.sorted_piecewise_constant_pdf(
        bins, torch.ones(count, 4, dtype=torch.float64), n, randomized=True, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal((samples * n).floor(), torch.arange(n).double().expand(count, n))
    position = samples * n - torch.arange(n)
    torch.testing.assert_close(position.mean(0), torch.full((n,), 0.5).double(), rtol=0, atol=0.03)
    assert len(torch.unique(samples[:, 0])) == count


def test_randomized_inverse_transform_follows_the_histogram():
    bins = torch.tensor([0.0, 1.0, 1.5, 4.0, 5.0], dtype=torch.float64).expand(4000, 5)
    weights = torch.tensor([0.3, 0.0, 0.6, 0.1], dtype=torch.float64)
    samples = mip.sorted_piecewise_constant_pdf(
        bins, 7 * weights.expand(4000, 4), 8, randomized=True, generator=torch.Generator().manual_seed(0)
    )
    counts, _ = np.histogram(samples, bins[0])
    np.testing.assert_allclose(counts / counts.sum(), weights, atol=0.005)


def test_resampling_blurs_and_pads_the_weights():
    rays, t_vals, weights = random_rays(0), random_t_vals(1), random(5, 8, seed=5)
    padded = np.pad(weights.numpy(), ((0, 0), (1, 1)), mode="edge")
    blurred = [
        [(max(row[i : i + 2]) + max(row[i + 1 : i + 3])) / 2 + 0.01 for i in range(len(row) - 2)] for row in padded
    ]
    expected = mip.sorted_piecewise_constant_pdf(t_vals, torch.tensor(blurred), 9, randomized=False)
    actual, (means, covs) = mip.resample_along_rays(
        **rays,
        t_vals=t_vals,
        weights=weights,
        randomized=False,
        ray_shape="cone",
        stop_grad=True,
        resample_padding=0.01,
    )
    torch.testing.assert_close(actual, expected)
    expected_means, expected_covs = mip.cast_rays(actual, **rays, ray_shape="cone")
    assert torch.equal(means, expected_means)
    assert torch.equal(covs, expected_covs)


@pytest.mark.parametrize("randomized", [True, False])
@given(seed=seeds, sharpness=st.floats(0, 30))
def test_resampled_t_vals_are_sorted_and_within_the_old_ones(randomized, seed, sharpness):
    t_vals, weights = random_t_vals(seed), torch.softmax(sharpness * random(5, 8, seed=seed), dim=-1)
    new = resampled(t_vals, weights, seed, randomized=randomized, generator=torch.Generator().manual_seed(seed))
    assert new.shape == t_vals.shape
    assert (torch.diff(new) >= 0).all()
    assert (new >= t_vals[:, :1]).all()
    assert (new <= t_vals[:, -1:]).all()


@pytest.mark.parametrize("stop_grad", [True, False])
def test_stop_grad_decides_whether_resampling_has_gradients(stop_grad):
    weights = random(5, 8, seed=5, low=0.1).requires_grad_()

    def resample(weights):
        return resampled(random_t_vals(1), weights, stop_grad=stop_grad)

    if stop_grad:
        assert not resample(weights).requires_grad
    else:
        assert torch.autograd.gradcheck(resample, weights)


# --- Compositing


def composite_by_loop(rgb, density, t_vals, direction, white_bkgd):
    """Colour, distance, opacity and weights of one ray, front to back."""
    length = math.sqrt(sum(x * x for x in direction))
    color, depth, acc, transmittance, weights = [0.0, 0.0, 0.0], 0.0, 0.0, 1.0, []
    for i, sigma in enumerate(density):
        alpha = 1 - math.exp(-sigma * (t_vals[i + 1] - t_vals[i]) * length)
        weight = transmittance * alpha
        color = [c + weight * s for c, s in zip(color, rgb[i], strict=True)]
        depth += weight * (t_vals[i] + t_vals[i + 1]) / 2
        acc += weight
        transmittance *= 1 - alpha
        weights.append(weight)
    if white_bkgd:
        color = [c + transmittance for c in color]
    return color, depth / acc, acc, weights


@pytest.mark.parametrize("white_bkgd", [True, False])
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_volumetric_rendering_against_a_loop(white_bkgd, seed, scale):
    rgb, density = random(5, 8, 3, seed=seed), scale * random(5, 8, 1, seed=seed + 1)
    t_vals, dirs = random_t_vals(seed), random(5, 3, seed=seed + 2, low=-2, high=2)
    actual = mip.volumetric_rendering(rgb, density, t_vals, dirs, white_bkgd)
    for i in range(5):
        expected = composite_by_loop(
            rgb[i].tolist(), density[i, :, 0].tolist(), t_vals[i].tolist(), dirs[i].tolist(), white_bkgd
        )
        for array, value in zip(actual, expected, strict=True):
            np.testing.assert_allclose(array[i], value, rtol=1e-9, atol=1e-12)


@given(seed=seeds, exponent=st.integers(-10, 10))
def test_weights_sum_to_an_opacity_of_at_most_one(seed, exponent):
    density = 10.0**exponent * random(5, 8, 1, seed=seed).float()
    _, distance, acc, weights = mip.volumetric_rendering(
        random(5, 8, 3).float(), density, random_t_vals(seed).float(), random(5, 3, low=0.5).float(), True
    )
    assert (weights >= 0).all()
    torch.testing.assert_close(acc, weights.sum(-1))
    assert acc.max() <= 1 + 1e-6
    assert torch.isfinite(distance).all()


def test_an_empty_ray_is_background_at_near():
    t_vals = random_t_vals(0)
    arguments = random(5, 8, 3), torch.zeros(5, 8, 1).double(), t_vals, random(5, 3, low=0.5)
    rgb, distance, acc, weights = mip.volumetric_rendering(*arguments, white_bkgd=True)
    assert torch.equal(rgb, torch.ones_like(rgb))
    assert torch.equal(distance, t_vals[:, 0])
    assert not acc.any()
    assert not weights.any()
    assert not mip.volumetric_rendering(*arguments, white_bkgd=False)[0].any()


def test_an_opaque_sample_hides_all_behind_it():
    rgb, density, t_vals = random(1, 8, 3), torch.zeros(1, 8, 1).double(), random_t_vals(0, 1)
    density[0, 3:] = 1e6
    color, distance, acc, _ = mip.volumetric_rendering(rgb, density, t_vals, torch.ones(1, 3).double(), True)
    torch.testing.assert_close(color, rgb[:, 3])
    torch.testing.assert_close(distance, t_vals[:, 3:5].mean(-1))
    torch.testing.assert_close(acc, torch.ones_like(acc))


def test_colours_have_finite_gradients_even_of_an_empty_ray():
    rgb, density = random(2, 8, 3).requires_grad_(), torch.zeros(2, 8, 1).double().requires_grad_()
    color, *_ = mip.volumetric_rendering(rgb, density, random_t_vals(0, 2), torch.ones(2, 3).double(), True)
    color.sum().backward()
    assert torch.isfinite(density.grad).all()
    assert density.grad.abs().sum() > 0
