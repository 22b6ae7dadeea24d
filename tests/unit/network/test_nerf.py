"""NeRF's sampling and compositing against a slow second implementation, ray by ray and sample by sample."""

import math

import numpy as np
import pytest
import torch

from mipnerf.config import ModelConfig
from mipnerf.network import nerf
from mipnerf.network.model import MipNerf

N, S, M = 7, 9, 13


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def rays(rng):
    origins, directions = (torch.from_numpy(rng.normal(size=(N, 3))) for _ in range(2))
    near = torch.from_numpy(rng.uniform(1, 2, (N, 1)))
    return origins, directions, near, near + 3


def sorted_t_vals(rng):
    return torch.from_numpy(np.sort(rng.uniform(2, 6, (N, S)), axis=1))


@pytest.mark.parametrize("lindisp", [False, True])
def test_samples_run_evenly_from_near_to_far(rays, lindisp):
    origins, directions, near, far = rays
    t_vals, points = nerf.sample_along_rays(origins, directions, S, near, far, False, lindisp)
    for i in range(N):
        ends = [float(near[i]), float(far[i])]
        even = np.linspace(*ends, S) if not lindisp else 1 / np.linspace(*(1 / np.array(ends)), S)
        np.testing.assert_allclose(t_vals[i], even, rtol=1e-12)
        for k in range(S):
            np.testing.assert_allclose(points[i, k], origins[i] + t_vals[i, k] * directions[i], rtol=1e-12)


def test_random_samples_stay_within_their_strata(rays):
    origins, directions, near, far = rays
    even, _ = nerf.sample_along_rays(origins, directions, S, near, far, False, False)
    generator = torch.Generator().manual_seed(0)
    draws = [nerf.sample_along_rays(origins, directions, S, near, far, True, False, generator)[0] for _ in range(200)]
    mids = 0.5 * (even[:, 1:] + even[:, :-1])
    lower, upper = torch.cat([near, mids], 1), torch.cat([mids, far], 1)
    assert all(((t >= lower) & (t <= upper)).all() for t in draws)
    share = (torch.stack(draws) - lower) / (upper - lower)
    assert share.mean(0).sub(0.5).abs().max() < 0.1


def slow_quantile(edges, weights, u):
    """Where the distribution function of a histogram takes the value u, by walking along it."""
    total = sum(weight + 1e-5 for weight in weights)
    reached = 0.0
    for left, right, weight in zip(edges[:-1], edges[1:], weights, strict=True):
        share = (weight + 1e-5) / total
        if u < reached + share:
            return left + (right - left) * (u - reached) / share
        reached += share
    return edges[-1]


def test_fine_samples_are_the_quantiles_of_the_inner_weights_merged_and_sorted(rays, rng):
    origins, directions, *_ = rays
    t_vals, weights = sorted_t_vals(rng), torch.from_numpy(rng.uniform(0, 1, (N, S)) ** 4)
    merged, points = nerf.sample_pdf(origins, directions, t_vals, weights, M, False)
    assert merged.shape == (N, S + M)
    for i in range(N):
        mids = [(t_vals[i, k] + t_vals[i, k + 1]).item() / 2 for k in range(S - 1)]
        inner = weights[i, 1:-1].tolist()
        expected = sorted([*t_vals[i].tolist(), *(slow_quantile(mids, inner, k / (M - 1)) for k in range(M))])
        np.testing.assert_allclose(merged[i], expected, rtol=1e-7)
        np.testing.assert_allclose(points[i], origins[i] + merged[i, :, None] * directions[i], rtol=1e-12)


def test_random_fine_samples_follow_the_histogram():
    edges = torch.tensor([[0.0, 1.0, 3.0, 4.0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64)
    drawn = nerf.piecewise_constant_pdf(edges, weights, 40_000, True, torch.Generator().manual_seed(1))
    counts = torch.histogram(drawn[0], edges[0])[0] / drawn.shape[1]
    torch.testing.assert_close(counts, weights[0] / 8, atol=0.01, rtol=0)
    assert (drawn.diff() < 0).any()


def test_no_gradient_reaches_the_weights(rays, rng):
    origins, directions, *_ = rays
    weights = torch.full((N, S), 0.1, dtype=torch.float64, requires_grad=True)
    merged, _ = nerf.sample_pdf(origins, directions, sorted_t_vals(rng), weights, M, False)
    assert not merged.requires_grad


@pytest.mark.parametrize("white_bkgd", [False, True])
def test_compositing_is_the_sum_of_the_paper(rays, rng, white_bkgd):
    _, directions, *_ = rays
    t_vals = sorted_t_vals(rng)
    rgb, density = torch.from_numpy(rng.uniform(size=(N, S, 3))), torch.from_numpy(rng.exponential(size=(N, S, 1)))
    density[:, -1] = 0
    comp_rgb, distance, acc, weights = nerf.volumetric_rendering(rgb, density, t_vals, directions, white_bkgd)
    for i in range(N):
        length = math.sqrt(sum(x**2 for x in directions[i].tolist()))
        transmitted, color, depth, opacity = 1.0, np.zeros(3), 0.0, 0.0
        for k in range(S):
            step = (t_vals[i, k + 1] - t_vals[i, k]).item() if k + 1 < S else 1e10
            alpha = 1 - math.exp(-density[i, k, 0].item() * step * length)
            weight = transmitted * alpha
            assert weights[i, k].item() == pytest.approx(weight, abs=1e-12)
            color, depth, opacity = color + weight * rgb[i, k].numpy(), depth + weight * t_vals[i, k], opacity + weight
            transmitted *= 1 - alpha
        np.testing.assert_allclose(comp_rgb[i], color + (1 - opacity) * white_bkgd, rtol=1e-10)
        assert acc[i].item() == pytest.approx(opacity)
        assert distance[i].item() == pytest.approx(float(depth) / opacity)


def test_the_last_sample_stands_for_all_behind_it(rays, rng):
    _, directions, *_ = rays
    density = torch.zeros(N, S, 1, dtype=torch.float64)
    density[:, -1] = 1e-3
    rgb = torch.ones(N, S, 3, dtype=torch.float64)
    *_, acc, weights = nerf.volumetric_rendering(rgb, density, sorted_t_vals(rng), directions, False)
    torch.testing.assert_close(acc, torch.ones_like(acc))
    assert (weights[:, :-1] == 0).all()


@pytest.mark.parametrize("model", [{}, {"ray_shape": "point", "num_fine_samples": 16}], ids=["intervals", "points"])
@pytest.mark.parametrize("empty_distance", ["near", "far"])
def test_the_distance_of_an_empty_ray_is_an_option(small_scene, model, empty_distance):
    from mipnerf.cameras import Cameras, image_rays

    network = MipNerf(
        ModelConfig(
            net_depth=1, net_width=8, num_samples=8, density_activation="relu", empty_distance=empty_distance, **model
        )
    )
    with torch.no_grad():
        network.mlp.density_layer.weight.zero_()
    rays = image_rays(Cameras.from_scene(small_scene), 0, 8, 8)
    for _, distance, acc in network(rays, False, True):
        assert (acc == 0).all()
        torch.testing.assert_close(distance, {"near": rays.near, "far": rays.far}[empty_distance][:, 0])


def test_nerf_has_the_papers_parameters():
    config = ModelConfig(
        ray_shape="point", num_fine_samples=128, single_mlp=False, max_deg_point=10, append_identity=True
    )
    assert sum(p.numel() for p in MipNerf(config).parameters()) == 1_191_688


def test_each_level_of_two_networks_has_its_own():
    model = MipNerf(ModelConfig(net_depth=1, net_width=8, num_samples=8, single_mlp=False))
    assert sum(p.numel() for p in model.coarse_mlp.parameters()) == sum(p.numel() for p in model.mlp.parameters())
    assert not torch.equal(model.coarse_mlp.layers[0].weight, model.mlp.layers[0].weight)
