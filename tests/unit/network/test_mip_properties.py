"""Gaussians and encodings of mip.py against quadrature and sampling, and what holds for all its functions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mip_inputs import random, random_rays, random_t_vals, seeds

from mipnerf.network import mip

# --- Gaussians of volumes


def volume_moments(d, t0, t1, radius_at, num_nodes=8):
    """Mean [3] and covariance [3, 3] of the solid of revolution around the axis t d, by quadrature over its points."""
    nodes, node_weights = np.polynomial.legendre.leggauss(num_nodes)
    t = t0 + (t1 - t0) * (nodes + 1) / 2
    share = (nodes + 1) / 2  # squared radius, as a share of the cross-section's
    angles = 2 * np.pi * np.arange(num_nodes) / num_nodes
    t, share, angle = np.meshgrid(t, share, angles, indexing="ij")
    across = np.linalg.svd(d[None])[2][1:]  # two unit vectors perpendicular to d
    radius = radius_at(t) * np.sqrt(share)
    circle = np.cos(angle)[..., None] * across[0] + np.sin(angle)[..., None] * across[1]
    points = (t[..., None] * d + radius[..., None] * circle).reshape(-1, 3)
    weights = (node_weights[:, None, None] * node_weights[:, None] * radius_at(t) ** 2).ravel()
    weights = weights / weights.sum()
    mean = weights @ points
    centred = points - mean
    return mean, (weights[:, None] * centred).T @ centred


@pytest.mark.parametrize("stable", [True, False])
@given(seed=seeds, t0=st.floats(0, 8), length=st.floats(0.1, 4), radius=st.floats(1e-3, 1))
def test_frustum_gaussian_has_the_moments_of_the_frustum(stable, seed, t0, length, radius):
    d = random(3, seed=seed, low=0.1, high=2)
    edges = torch.tensor([[t0, t0 + length]], dtype=torch.float64)
    mean, cov = mip.conical_frustum_to_gaussian(
        d, edges[:, 0], edges[:, 1], torch.tensor([radius], dtype=torch.float64), diag=False, stable=stable
    )
    expected_mean, expected_cov = volume_moments(d.numpy(), t0, t0 + length, lambda t: radius * t)
    np.testing.assert_allclose(mean[0], expected_mean, rtol=1e-9)
    np.testing.assert_allclose(cov[0], expected_cov, atol=1e-8)


@given(seed=seeds, t0=st.floats(0, 8), length=st.floats(0.1, 4), radius=st.floats(1e-3, 1))
def test_cylinder_gaussian_has_the_moments_of_the_cylinder(seed, t0, length, radius):
    d = random(3, seed=seed, low=0.1, high=2)
    edges = torch.tensor([[t0, t0 + length]], dtype=torch.float64)
    mean, cov = mip.cylinder_to_gaussian(
        d, edges[:, 0], edges[:, 1], torch.tensor([radius], dtype=torch.float64), diag=False
    )
    expected_mean, expected_cov = volume_moments(d.numpy(), t0, t0 + length, lambda t: np.full_like(t, radius))
    np.testing.assert_allclose(mean[0], expected_mean, rtol=1e-9)
    np.testing.assert_allclose(cov[0], expected_cov, atol=1e-9)


def test_frustum_gaussian_describes_points_drawn_from_the_frustum():
    rng = np.random.default_rng(0)
    t0, t1, radius, count = 1.0, 3.0, 0.3, 200_000
    t = np.cbrt(rng.uniform(t0**3, t1**3, count))  # the cross-section grows with the square of t
    distance, angle = radius * t * np.sqrt(rng.uniform(size=count)), rng.uniform(0, 2 * np.pi, count)
    points = np.stack([distance * np.cos(angle), distance * np.sin(angle), t], axis=-1)
    mean, cov = mip.conical_frustum_to_gaussian(
        torch.tensor([0.0, 0.0, 1.0]), torch.tensor([t0]), torch.tensor([t1]), torch.tensor([radius]), diag=False
    )
    np.testing.assert_allclose(mean[0], points.mean(0), atol=5e-3)
    np.testing.assert_allclose(cov[0], np.cov(points.T), atol=2e-3)


def test_stable_frustum_keeps_its_digits_where_the_naive_equations_lose_them():
    t0 = torch.tensor([100.0], dtype=torch.float64)
    t1, d, radius = t0 + 1e-3, torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.01])
    exact = mip.conical_frustum_to_gaussian(d.double(), t0, t1, radius.double(), diag=True)[1]
    in_float32 = mip.conical_frustum_to_gaussian(d, t0.float(), t1.float(), radius, diag=True)[1]
    # The interval itself is rounded by 1 % on the way to float32.
    torch.testing.assert_close(in_float32.double(), exact, rtol=0.05, atol=0)
    naive = mip.conical_frustum_to_gaussian(d, t0.float(), t1.float(), radius, diag=True, stable=False)[1]
    assert (naive.double() - exact).abs().max() > exact.max()


@given(seed=seeds)
def test_diagonal_covariance_is_the_diagonal_of_the_full_one(seed):
    d = random(4, 3, seed=seed, low=-2, high=2)
    t_mean, t_var, r_var = (random(4, 6, seed=seed + i) for i in (1, 2, 3))
    mean, cov_diag = mip.lift_gaussian(d, t_mean, t_var, r_var, diag=True)
    full_mean, cov = mip.lift_gaussian(d, t_mean, t_var, r_var, diag=False)
    torch.testing.assert_close(mean, full_mean, rtol=0, atol=0)
    torch.testing.assert_close(cov_diag, cov.diagonal(dim1=-2, dim2=-1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("ray_shape", ["cone", "cylinder"])
def test_cast_gaussians_lie_on_the_ray_within_their_interval(ray_shape):
    rays, t_vals = random_rays(0), random_t_vals(1)
    means, covs = mip.cast_rays(t_vals, **rays, ray_shape=ray_shape, diag=False)
    offset = means - rays["origins"][:, None]
    t = (offset * rays["directions"][:, None]).sum(-1) / (rays["directions"] ** 2).sum(-1, keepdim=True)
    torch.testing.assert_close(offset, t[..., None] * rays["directions"][:, None])
    assert ((t_vals[:, :-1] < t) & (t < t_vals[:, 1:])).all()
    assert torch.linalg.eigvalsh(covs).min() > 0


def test_empty_interval_at_the_apex_is_a_point():
    zero = torch.zeros(1)
    mean, cov = mip.conical_frustum_to_gaussian(torch.ones(3), zero, zero, torch.ones(1), diag=True)
    assert torch.equal(mean, torch.zeros(1, 3))
    assert torch.equal(cov, torch.zeros(1, 3))


# --- Encodings


@given(x=st.floats(-20, 20), x_var=st.floats(0, 4))
def test_expected_sin_is_the_mean_and_variance_of_sines_of_a_gaussian(x, x_var):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    sines, weights = np.sin(x + math.sqrt(x_var) * nodes), weights / weights.sum()
    y, y_var = mip.expected_sin(*torch.tensor([x, x_var], dtype=torch.float64))
    assert y == pytest.approx(weights @ sines, abs=1e-10)
    assert y_var == pytest.approx(weights @ sines**2 - (weights @ sines) ** 2, abs=1e-10)


@pytest.mark.parametrize("diag", [True, False])
def test_integrated_pos_enc_is_the_mean_encoding_of_the_gaussian(diag):
    mean, factor = random(3, seed=0, low=-1, high=1), random(3, 3, seed=1, low=-0.4, high=0.4)
    cov = factor @ factor.T
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    actual = mip.integrated_pos_enc((mean, cov.diagonal() if diag else cov), 1, 4, diag)
    expected = []
    for shift in (0, math.pi / 2):
        for degree in range(1, 4):
            for axis in range(3):
                points = float(mean[axis]) + math.sqrt(cov[axis, axis]) * nodes
                expected.append(weights @ np.sin(2**degree * points + shift) / weights.sum())
    np.testing.assert_allclose(actual, expected, atol=1e-10)


def test_integrated_pos_enc_of_a_point_is_its_pos_enc():
    x = random(7, 3, seed=2, low=-1, high=1)
    encoded = mip.integrated_pos_enc((x, torch.zeros_like(x)), 0, 6)
    torch.testing.assert_close(encoded, mip.pos_enc(x, 0, 6, append_identity=False), rtol=0, atol=1e-12)


def test_integrated_pos_enc_of_a_wide_gaussian_loses_high_frequencies_only():
    x = random(100, 3, seed=3, low=-1, high=1)
    encoded = mip.integrated_pos_enc((x, torch.full_like(x, 0.01)), 0, 8).unflatten(-1, (2, 8, 3))
    assert encoded[:, :, 7].abs().max() < 1e-10
    torch.testing.assert_close(encoded[:, 0, 0], torch.sin(x), rtol=0.01, atol=0)


@pytest.mark.parametrize("append_identity", [True, False])
def test_pos_enc_against_a_loop(append_identity):
    x = random(4, 3, seed=4, low=-1, high=1)
    rows = []
    for row in x.tolist():
        features = list(row) if append_identity else []
        for shift in (0, math.pi / 2):
            features += [math.sin(2**degree * value + shift) for degree in range(2, 5) for value in row]
        rows.append(features)
    np.testing.assert_allclose(mip.pos_enc(x, 2, 5, append_identity), rows, atol=1e-12)


def test_safe_sines_are_sines_below_their_period_and_keep_to_it_beyond():
    x = torch.linspace(-314, 314, 1001, dtype=torch.float64)
    assert torch.equal(mip.safe_sin(x), torch.sin(x))
    assert torch.equal(mip.safe_cos(x), torch.cos(x))
    far = torch.linspace(315, 1e4, 1001, dtype=torch.float64)
    torch.testing.assert_close(mip.safe_sin(far), torch.sin(far), rtol=0, atol=1e-9)
    torch.testing.assert_close(mip.safe_cos(-far), torch.cos(far), rtol=0, atol=1e-9)


# --- What holds for every function


def calls(dtype: torch.dtype) -> dict:
    """Every public function with arguments of `dtype`: name -> (function of the tensors and a generator, tensors)."""
    rays = {key: value.to(dtype) for key, value in random_rays(0).items()}
    origins, directions, radii = rays.values()
    t_vals, near, far = random_t_vals(1).to(dtype), torch.full_like(radii, 2.0), torch.full_like(radii, 6.0)
    t0, t1, weights = t_vals[:, :-1].clone(), t_vals[:, 1:].clone(), random(5, 8, seed=4).to(dtype)
    weights[0] = 0
    x, var = random(5, 8, 3, seed=5).to(dtype), random(5, 8, 3, seed=6).to(dtype)
    density = random(5, 8, 1, seed=7).to(dtype)
    cov = var[..., None] * torch.eye(3, dtype=dtype)
    table = {
        "safe_sin": (lambda g, x: mip.safe_sin(1e3 * x), (x,)),
        "safe_cos": (lambda g, x: mip.safe_cos(1e3 * x), (x,)),
        "expected_sin": (lambda g, *a: mip.expected_sin(*a), (x, var)),
        "pos_enc": (lambda g, x: mip.pos_enc(x, 0, 4), (x,)),
        "integrated_pos_enc diag": (lambda g, *a: mip.integrated_pos_enc(a, 0, 4), (x, var)),
        "integrated_pos_enc full": (lambda g, *a: mip.integrated_pos_enc(a, 0, 4, False), (x, cov)),
        "volumetric_rendering": (lambda g, *a: mip.volumetric_rendering(*a, True), (x, density, t_vals, directions)),
    }
    for diag in (True, False):
        tag = "diag" if diag else "full"
        gaussian = (directions, t0, t1, radii)
        table |= {
            f"lift_gaussian {tag}": (
                lambda g, *a, diag=diag: mip.lift_gaussian(*a, diag),
                (directions, t0, t1, weights),
            ),
            f"conical_frustum_to_gaussian {tag}": (
                lambda g, *a, diag=diag: mip.conical_frustum_to_gaussian(*a, diag),
                gaussian,
            ),
            f"cylinder_to_gaussian {tag}": (lambda g, *a, diag=diag: mip.cylinder_to_gaussian(*a, diag), gaussian),
        }
    for shape in ("cone", "cylinder"):
        table[f"cast_rays {shape}"] = (
            lambda g, *a, shape=shape: mip.cast_rays(*a, shape),
            (t_vals, origins, directions, radii),
        )
    for randomized in (False, True):
        tag = "randomized" if randomized else "fixed"
        table |= {
            f"sample_along_rays {tag}": (
                lambda g, o, d, r, n, f, randomized=randomized: mip.sample_along_rays(
                    o, d, r, 8, n, f, randomized, False, "cone", generator=g
                ),
                (origins, directions, radii, near, far),
            ),
            f"resample_along_rays {tag}": (
                lambda g, *a, randomized=randomized: mip.resample_along_rays(
                    *a, randomized, "cone", True, 0.01, generator=g
                ),
                (origins, directions, radii, t_vals, weights),
            ),
            f"sorted_piecewise_constant_pdf {tag}": (
                lambda g, *a, randomized=randomized: mip.sorted_piecewise_constant_pdf(*a, 12, randomized, generator=g),
                (t_vals, weights),
            ),
        }
    return table


def flat(result) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else [tensor for part in result for tensor in flat(part)]


every_function = pytest.mark.parametrize("name", calls(torch.float32))


@every_function
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_arguments(name, dtype):
    function, tensors = calls(dtype)[name]
    assert {tensor.dtype for tensor in flat(function(torch.Generator().manual_seed(0), *tensors))} == {dtype}


@every_function
def test_arguments_are_not_modified(name):
    function, tensors = calls(torch.float32)[name]
    copies = [tensor.clone() for tensor in tensors]
    function(torch.Generator().manual_seed(0), *tensors)
    assert all(map(torch.equal, tensors, copies))


@every_function
def test_all_randomness_comes_from_the_generator(name):
    function, tensors = calls(torch.float32)[name]
    before = torch.get_rng_state()
    first, again, other = (flat(function(torch.Generator().manual_seed(seed), *tensors)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, first, again))
    assert all(map(torch.equal, first, other)) == ("randomized" not in name)


@every_function
def test_mixed_precision_leaves_the_results_alone(name):
    function, tensors = calls(torch.float32)[name]
    expected = flat(function(torch.Generator().manual_seed(0), *tensors))
    with torch.autocast("cpu", torch.bfloat16):
        actual = flat(function(torch.Generator().manual_seed(0), *tensors))
    assert all(map(torch.equal, actual, expected))
