"""The contraction against its definition, differentiated automatically, and against arrays of multinerf."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mip_inputs import random, seeds
from torch.func import jacrev, vmap

from mipnerf.cameras import Rays
from mipnerf.config import ModelConfig
from mipnerf.errors import CheckpointError
from mipnerf.interop import export_flax
from mipnerf.network import contraction, mip
from mipnerf.network.model import MipNerf

SMALL = {"net_depth": 2, "net_width": 16, "net_width_condition": 8, "num_samples": 8, "max_deg_point": 4}
radii = st.floats(0.1, 50)
magnitudes = st.floats(-2, 4)


def by_definition(x):
    """Equation 10 of one point [3]."""
    norm = x.norm()
    return torch.where(norm <= 1, x, (2 - 1 / norm) * x / norm)


def linearised(means, covs, radius):
    """Equation 9 by automatic differentiation, with whole covariances: [N, 3], [N, 3, 3] -> the same."""
    jacobians = vmap(jacrev(by_definition))(means / radius)
    return vmap(by_definition)(means / radius), jacobians @ (covs / radius**2) @ jacobians.mT


def gaussians(seed, magnitude, count=20):
    """Means [N, 3] on both sides of the unit sphere and beyond, and covariances [N, 3, 3]."""
    means = random(count, 3, seed=seed, low=-1, high=1) * 10**magnitude
    roots = random(count, 3, 3, seed=seed + 1, low=-1, high=1)
    return means, roots @ roots.mT


def test_points_are_those_of_multinerf(golden, compare):
    arrays = golden("coord_contract")
    actual = contraction.contract(torch.from_numpy(arrays["x"]))
    compare("coord_contract/contracted", actual, arrays["contracted"], atol=1e-6)


def test_gaussians_are_those_of_multinerf(golden, compare):
    arrays = golden("coord_track_linearize")
    means, covs = (torch.from_numpy(arrays[name]) for name in ("mean", "cov"))
    actual = contraction.contract_gaussians(means, covs, radius=1.0)
    compare("coord_track_linearize/fn_mean", actual[0], arrays["fn_mean"], atol=1e-6)
    # Sums of three products with either side of the Jacobian round relative to the largest variance of each.
    scale = abs(arrays["fn_cov"]).max((1, 2), keepdims=True)
    compare("coord_track_linearize/fn_cov", actual[1], arrays["fn_cov"], atol=2e-5 * scale)


@given(seed=seeds, magnitude=magnitudes, radius=radii)
def test_gaussians_are_linearised_at_their_means(seed, magnitude, radius):
    means, covs = gaussians(seed, magnitude)
    expected = linearised(means, covs, radius)
    actual = contraction.contract_gaussians(means, covs, radius)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@given(seed=seeds, magnitude=magnitudes, radius=radii)
def test_diagonal_covariances_give_the_diagonal(seed, magnitude, radius):
    means, covs = gaussians(seed, magnitude)
    variances = covs.diagonal(dim1=-2, dim2=-1)
    expected = linearised(means, torch.diag_embed(variances), radius)[1].diagonal(dim1=-2, dim2=-1)
    actual = contraction.contract_gaussians(means, variances, radius)[1]
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ray_shape", ["cone", "cylinder"])
@given(seed=seeds, magnitude=magnitudes, radius=radii)
def test_rays_have_the_diagonal_of_their_whole_covariances(ray_shape, seed, magnitude, radius):
    origins, directions = (random(6, 3, seed=seed + i, low=-2, high=2) for i in (0, 1))
    t_vals = random(6, 9, seed=seed + 2, low=0.1, high=1).cumsum(-1) * 10**magnitude
    base = random(6, 1, seed=seed + 3, low=1e-3, high=0.1)
    whole = mip.cast_rays(t_vals, origins, directions, base, ray_shape, diag=False)
    means, covs = linearised(whole[0].flatten(0, 1), whole[1].flatten(0, 1), radius)
    actual = contraction.cast_rays(t_vals, origins, directions, base, ray_shape, radius)
    torch.testing.assert_close(actual[0].flatten(0, 1), means, rtol=1e-9, atol=1e-12)
    variances = covs.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(actual[1].flatten(0, 1), variances, rtol=1e-6, atol=1e-11 * float(variances.max()))


@given(seed=seeds, radius=radii)
def test_nothing_jumps_at_the_radius(seed, radius):
    direction = torch.nn.functional.normalize(random(8, 3, seed=seed, low=-1, high=1), dim=-1)
    covs = gaussians(seed, 0.0, 8)[1]
    inside, outside = (
        contraction.contract_gaussians(direction * radius * (1 + step), covs, radius) for step in (-1e-9, 1e-9)
    )
    for first, second in zip(inside, outside, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-7 / radius**2)


@given(seed=seeds, magnitude=st.floats(-30, 30))
def test_all_points_come_within_two_radii_and_keep_their_order(seed, magnitude):
    direction = random(8, 3, seed=seed, low=0.1, high=1)
    points = direction * 10**magnitude
    norms = contraction.contract(points).norm(dim=-1)
    assert (norms <= 2 + 1e-15).all()
    assert (norms[points.norm(dim=-1) < 1e6] < 2).all()
    assert (contraction.contract(1.5 * points).norm(dim=-1) >= norms - 1e-15).all()


@given(seed=seeds, magnitude=magnitudes)
def test_the_jacobian_is_symmetric(seed, magnitude):
    points = random(8, 3, seed=seed, low=-1, high=1) * 10**magnitude
    jacobians = vmap(jacrev(contraction.contract))(points)
    torch.testing.assert_close(jacobians, jacobians.mT, rtol=1e-9, atol=1e-12)


def test_the_middle_is_left_as_it_is_and_has_a_gradient():
    points = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    contracted = contraction.contract(points)
    contracted.sum().backward()
    assert contracted.abs().max() == 0
    assert (points.grad == 1).all()


def test_samples_are_even_in_disparity():
    near, far = torch.tensor([[0.8]]), torch.tensor([[6000.0]])
    t_vals = contraction.stratified_t_vals(33, near, far, randomized=False)
    steps = (1 / t_vals).diff()
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-4, atol=0)
    torch.testing.assert_close(t_vals[:, [0, -1]], torch.cat([near, far], dim=-1))


@given(seed=seeds)
def test_drawn_samples_stay_in_their_strata_of_disparity(seed):
    near, far = torch.tensor([[0.8]]), torch.tensor([[6000.0]])
    t_vals = contraction.stratified_t_vals(33, near, far, True, torch.Generator().manual_seed(seed))
    share = (1 / near - 1 / t_vals) / (1 / near - 1 / far)
    assert (t_vals.diff() >= 0).all()
    assert ((share - torch.linspace(0, 1, 33)).abs() <= 0.5 / 32 + 1e-5).all()


def test_new_samples_are_spread_over_the_disparity_of_a_long_interval():
    weights = torch.zeros(1, 100)
    weights[0, -1] = 1
    t_vals = torch.cat([torch.linspace(1, 4, 100)[None], torch.tensor([[4000.0]])], dim=-1)
    new = contraction.resampled_t_vals(t_vals, weights, False, True, 0.0)
    assert ((new >= 1) & (new <= 4000)).all()
    assert (new.diff() >= 0).all()
    # The blur leaves two thirds of the weight in the last interval; a tenth of its disparity lies beyond 40.
    assert (new > 4).sum() == pytest.approx(67, abs=2)
    assert (new > 40).sum() == pytest.approx(6.7, abs=1)


def test_the_distance_is_that_of_the_mean_disparity():
    t_vals = torch.tensor([[1.0, 2.0, 4.0, 6000.0]]).repeat(3, 1)
    weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.95, 0.05], [0.0, 0.0, 0.0]])
    distance = contraction.mean_disparity_distance(weights, t_vals, weights.sum(-1), "far")
    assert distance[0] == pytest.approx(1 / 0.375)
    assert distance[1] == pytest.approx(1 / (0.95 * 0.375 + 0.05 * 0.125), rel=1e-3)
    assert distance[2] == 6000
    assert contraction.mean_disparity_distance(weights, t_vals, weights.sum(-1), "near")[2] == 1


def rays_to(far, count=5):
    """Rays from near the origin, to `far`."""
    directions = random(count, 3, seed=1, low=-1, high=1).float()
    column = torch.ones(count, 1)
    return Rays(
        torch.zeros(count, 3), directions, torch.nn.functional.normalize(directions, dim=-1), 1e-3 * column, column,
        0.8 * column, far * column,
    )  # fmt: skip


@pytest.mark.parametrize("ray_shape", ["cone", "cylinder"])
def test_a_contracted_network_renders_and_learns(ray_shape):
    torch.manual_seed(0)
    model = MipNerf(ModelConfig(**SMALL, contraction="mip360", ray_shape=ray_shape))
    levels = model.render_levels(rays_to(6000.0), True, False, torch.Generator().manual_seed(0))
    for level in levels:
        assert torch.isfinite(level.rgb).all()
        assert ((level.distance >= 0.8 - 1e-6) & (level.distance <= 6001)).all()
    levels[-1].rgb.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert any(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_radius_says_what_is_left_alone():
    """Within it, the network of a contraction is that of points divided by the radius."""
    torch.manual_seed(0)
    plain = MipNerf(ModelConfig(**SMALL))
    contracted = MipNerf(ModelConfig(**SMALL, contraction="mip360", contraction_radius=2.0))
    contracted.load_state_dict(plain.state_dict())
    means, covs = random(3, 4, 3, seed=1, low=-1, high=1).float(), random(3, 4, 3, seed=2, low=0, high=0.1).float()
    views = torch.nn.functional.normalize(random(3, 3, seed=3, low=-1, high=1).float(), dim=-1)
    expected, actual = plain.query(means / 2, covs / 4, views), contracted.query(means, covs, views)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    far, near = (contracted.query(scale * means, covs, views)[1] for scale in (1e6, 1.0))
    assert torch.isfinite(far).all()
    assert not torch.allclose(far, near)


def test_a_contracted_network_is_not_exported(tmp_path):
    pytest.importorskip("msgpack")
    with pytest.raises(CheckpointError, match=r"contraction mip360.*google/mipnerf"):
        export_flax(MipNerf(ModelConfig(**SMALL, contraction="mip360")), 1, tmp_path / "checkpoint_1")
