"""mip-NeRF written a second time, ray by ray in NumPy and float64, from the paper: the library has to agree with it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mip_inputs import random, random_rays, random_t_vals, resampled, seeds

from mipnerf.cameras import Rays
from mipnerf.config import ModelConfig, TrainConfig
from mipnerf.network import mip
from mipnerf.network.model import MipNerf
from mipnerf.training.optimization import compute_loss

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(3)  # exact to the fifth degree; a cone needs the fourth


def cast(origin, direction, radius, t_vals, ray_shape):
    """Mean [S, 3] and covariance [S, 3, 3] of uniform densities in sections of a cone or cylinder."""
    means, covs = [], []
    across = np.eye(3) - np.outer(direction, direction) / (direction @ direction)
    for t0, t1 in pairwise(t_vals):
        t = t0 + (t1 - t0) * (NODES + 1) / 2
        radii = radius * (t if ray_shape == "cone" else np.ones_like(t))
        share = NODE_WEIGHTS * radii**2  # of the volume
        share = share / share.sum()
        mean = share @ t
        # A disc of radius r has the variance r^2 / 4 along each of its axes.
        covs.append(share @ (t - mean) ** 2 * np.outer(direction, direction) + share @ radii**2 / 4 * across)
        means.append(origin + mean * direction)
    return np.array(means), np.array(covs)


def encode(mean, cov, min_deg, max_deg):
    """Expected sines and cosines of P x for the Gaussian x, with P all the powers of two."""
    basis = np.concatenate([2.0**degree * np.eye(3) for degree in range(min_deg, max_deg)])
    lifted_mean, lifted_cov = basis @ mean, basis @ cov @ basis.T
    damping = np.exp(-np.diag(lifted_cov) / 2)
    return np.concatenate([np.sin(lifted_mean) * damping, np.cos(lifted_mean) * damping])


def encode_direction(direction, degrees):
    scaled = np.concatenate([2.0**degree * direction for degree in range(degrees)]) if degrees else np.zeros(0)
    return np.concatenate([direction, np.sin(scaled), np.cos(scaled)])


def resample(t_vals, weights, padding):
    """As many t_vals again, evenly spread over the probability of the blurred weights."""
    w = [weights[0], *weights, weights[-1]]
    blurred = [(max(w[i - 1], w[i]) + max(w[i], w[i + 1])) / 2 + padding for i in range(1, len(w) - 1)]
    cdf = np.concatenate([[0], np.cumsum(blurred) / np.sum(blurred)])
    return np.interp(np.linspace(0, 1 - 2**-23, len(t_vals)), cdf, t_vals)


def composite(colours, densities, t_vals, direction, white_bkgd):
    """Colour, distance, opacity and weights of a ray, front to back."""
    left, weights = 1.0, []
    for density, length in zip(densities, np.diff(t_vals) * np.linalg.norm(direction), strict=True):
        alpha = 1 - np.exp(-density * length)
        weights.append(left * alpha)
        left *= 1 - alpha
    weights = np.array(weights)
    distance = weights @ (t_vals[:-1] + t_vals[1:]) / 2 / (weights.sum() or 1.0)
    return weights @ colours + left * white_bkgd, distance, weights.sum(), weights


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(0, x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def network(layers, features, condition, config):
    """Raw colour and raw density of one sample; `layers` are (matrix [out, in], bias) in the order of use."""
    layers = iter(layers)

    def dense(x):
        matrix, bias = next(layers)
        return matrix @ x + bias

    activation = ACTIVATIONS[config.net_activation]
    hidden = features
    for i in range(config.net_depth):
        hidden = activation(dense(hidden))
        if i > 0 and i % config.skip_layer == 0:
            hidden = np.concatenate([hidden, features])
    density = dense(hidden)
    if condition is not None:
        hidden = np.concatenate([dense(hidden), condition])
        for _ in range(config.net_depth_condition):
            hidden = activation(dense(hidden))
    return dense(hidden), density[0]


def first_t_vals(near, far, config):
    steps = np.linspace(0, 1, config.num_samples + 1)
    return 1 / (1 / near + (1 / far - 1 / near) * steps) if config.lindisp else near + (far - near) * steps


def render(layers, ray, config, white_bkgd, all_t_vals=None):
    """Per level: colour, distance, opacity, weights, t_vals of a ray; the t_vals may be given."""
    outputs = []
    condition = encode_direction(ray["viewdirs"], config.deg_view) if config.use_viewdirs else None
    for level in range(config.num_levels):
        if all_t_vals is not None:
            t_vals = all_t_vals[level]
        elif level == 0:
            t_vals = first_t_vals(ray["near"][0], ray["far"][0], config)
        else:
            t_vals = resample(outputs[-1][4], outputs[-1][3], config.resample_padding)
        means, covs = cast(ray["origins"], ray["directions"], ray["radii"][0], t_vals, config.ray_shape)
        colours, densities = [], []
        for mean, cov in zip(means, covs * (not config.disable_integration), strict=True):
            features = encode(mean, cov, config.min_deg_point, config.max_deg_point)
            colour, density = network(layers, features, condition, config)
            pad = config.rgb_padding
            colours.append(ACTIVATIONS[config.rgb_activation](colour) * (1 + 2 * pad) - pad)
            densities.append(ACTIVATIONS[config.density_activation](density + config.density_bias))
        outputs.append(
            (*composite(np.array(colours), densities, t_vals, ray["directions"], white_bkgd), np.array(t_vals))
        )
    return outputs


# --- Functions


@pytest.mark.parametrize("ray_shape", ["cone", "cylinder"])
@given(seed=seeds)
def test_casting(ray_shape, seed):
    rays, t_vals = random_rays(seed), random_t_vals(seed)
    expected = [cast(*row, ray_shape) for row in zip(*(v.numpy() for v in rays.values()), t_vals.numpy(), strict=True)]
    means, covs = (np.array(values) for values in zip(*expected, strict=True))
    full_means, full_covs = mip.cast_rays(t_vals, **rays, ray_shape=ray_shape, diag=False)
    diag_means, diag_covs = mip.cast_rays(t_vals, **rays, ray_shape=ray_shape)
    np.testing.assert_allclose(full_means, means, atol=1e-12)
    np.testing.assert_allclose(diag_means, means, atol=1e-12)
    np.testing.assert_allclose(full_covs, covs, atol=1e-12)
    np.testing.assert_allclose(diag_covs, np.diagonal(covs, axis1=-2, axis2=-1), atol=1e-12)


@given(seed=seeds, min_deg=st.integers(0, 4), degrees=st.integers(1, 12))
def test_integrated_encoding(seed, min_deg, degrees):
    mean, factor = random(6, 3, seed=seed, low=-4, high=4), random(6, 3, 3, seed=seed + 1, low=-0.1, high=0.1)
    cov = factor @ factor.mT
    expected = [encode(m, c, min_deg, min_deg + degrees) for m, c in zip(mean.numpy(), cov.numpy(), strict=True)]
    full = mip.integrated_pos_enc((mean, cov), min_deg, min_deg + degrees, diag=False)
    diag = mip.integrated_pos_enc((mean, cov.diagonal(dim1=-2, dim2=-1)), min_deg, min_deg + degrees)
    # Arguments of up to 2^18 lose that much to the rounding of their period.
    np.testing.assert_allclose(full, expected, atol=1e-10)
    np.testing.assert_allclose(diag, expected, atol=1e-10)


@given(seed=seeds, sharpness=st.floats(0, 30), padding=st.floats(1e-3, 1))
def test_resampling(seed, sharpness, padding):
    t_vals, weights = random_t_vals(seed), torch.softmax(sharpness * random(5, 8, seed=seed + 1), dim=-1)
    expected = [resample(*row, padding) for row in zip(t_vals.numpy(), weights.numpy(), strict=True)]
    actual = resampled(t_vals, weights, seed, resample_padding=padding)
    np.testing.assert_allclose(actual, expected, atol=1e-11)


# --- The whole

OPTIONS = {
    "num_samples": st.integers(1, 7),
    "num_levels": st.integers(1, 3),
    "resample_padding": st.floats(0.005, 0.1),
    "use_viewdirs": st.booleans(),
    "lindisp": st.booleans(),
    "ray_shape": st.sampled_from(["cone", "cylinder"]),
    "min_deg_point": st.integers(0, 2),
    "max_deg_point": st.integers(3, 6),
    "deg_view": st.integers(0, 4),
    "density_activation": st.sampled_from(["softplus", "relu"]),
    "density_bias": st.floats(0, 1),
    "rgb_activation": st.sampled_from(["sigmoid", "relu"]),
    "rgb_padding": st.floats(0, 0.1),
    "disable_integration": st.booleans(),
    "net_activation": st.sampled_from(["relu", "softplus"]),
    "net_depth": st.integers(1, 6),
    "net_width": st.integers(1, 9),
    "net_depth_condition": st.integers(0, 2),
    "net_width_condition": st.integers(1, 5),
    "skip_layer": st.integers(1, 5),
}
configs = st.builds(ModelConfig, **OPTIONS)
smooth = st.builds(
    ModelConfig,
    **OPTIONS | dict.fromkeys(("density_activation", "net_activation"), st.just("softplus")),
) | st.just(ModelConfig(num_samples=4, net_depth=5, net_width=6, max_deg_point=5, net_activation="softplus"))


class Scene:
    """Random rays and a random network, its biases not zero, and what the slow form needs of both."""

    def __init__(self, config: ModelConfig, seed: int, count: int = 3):
        near = random(count, 1, seed=seed, low=0.5, high=2)
        directions = random(count, 3, seed=seed + 1, low=-2, high=2)
        self.rays = Rays(
            origins=random(count, 3, seed=seed + 2, low=-2, high=2),
            directions=directions,
            viewdirs=directions / torch.linalg.norm(directions, dim=-1, keepdim=True),
            radii=random(count, 1, seed=seed + 3, low=1e-3, high=0.1),
            lossmult=4 ** random(count, 1, seed=seed + 4, low=0, high=4).floor(),
            near=near,
            far=near + random(count, 1, seed=seed + 5, low=1, high=4),
        )
        self.pixels = random(count, 3, seed=seed + 6)
        self.config, self.model = config, MipNerf(config).double()
        for i, parameter in enumerate(self.model.parameters()):
            with torch.no_grad():
                scale = 1.5 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.3
                parameter.copy_(scale * random(*parameter.shape, seed=seed + 7 + i, low=-1.7, high=1.7))

    def layers(self) -> list:
        return [
            (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self.model.mlp.linear_layers()
        ]

    def slow(self, layers: list, white_bkgd: bool, t_vals=None) -> list:
        """Per ray what `render` gives."""
        names = [name for name in vars(self.rays) if name != "lossmult"]
        rows = zip(*(getattr(self.rays, name).numpy() for name in names), strict=True)
        rays = [dict(zip(names, row, strict=True)) for row in rows]
        return [
            render(layers, ray, self.config, white_bkgd, t_vals and [level[i] for level in t_vals])
            for i, ray in enumerate(rays)
        ]

    def slow_loss(self, rays: list) -> float:
        """Squared errors of a ray's channels, weighted by the area of its pixel; coarse levels count a tenth."""
        area, pixels, loss = self.rays.lossmult[:, 0].numpy(), self.pixels.numpy(), 0.0
        for level in range(self.config.num_levels):
            errors = [((ray[level][0] - pixel) ** 2).sum() for ray, pixel in zip(rays, pixels, strict=True)]
            loss += (1.0 if level == self.config.num_levels - 1 else 0.1) * (area @ errors) / area.sum()
        return loss


@settings(max_examples=60)
@given(config=configs, seed=seeds, white_bkgd=st.booleans())
def test_rendering(config, seed, white_bkgd):
    scene = Scene(config, seed % 2**31)
    with torch.no_grad():
        levels = scene.model.render_levels(scene.rays, randomized=False, white_bkgd=white_bkgd)
    for i, ray in enumerate(scene.slow(scene.layers(), white_bkgd)):
        for level, (colour, distance, opacity, weights, t_vals) in zip(levels, ray, strict=True):
            np.testing.assert_allclose(level.weights[i], weights, atol=1e-9)
            np.testing.assert_allclose(level.t_vals[i], t_vals, atol=1e-9)
            np.testing.assert_allclose(level.rgb[i], colour, atol=1e-9)
            np.testing.assert_allclose(level.acc[i], opacity, atol=1e-9)
            if opacity > 1e-3:  # of nearly nothing there is no distance
                np.testing.assert_allclose(level.distance[i], distance, atol=1e-8)


@settings(max_examples=20)
@given(config=smooth, seed=seeds)
def test_loss_and_its_gradient(config, seed):
    """Along a random change of all parameters; the samples of the finer levels are constants to it."""
    scene = Scene(config, seed % 2**31)
    levels = scene.model.render_levels(scene.rays, randomized=False, white_bkgd=True)
    loss = compute_loss(levels, scene.pixels, scene.rays.lossmult, TrainConfig()).loss
    layers, t_vals = scene.layers(), [level.t_vals.detach().numpy() for level in levels]
    np.testing.assert_allclose(loss.item(), scene.slow_loss(scene.slow(layers, True)), rtol=1e-9)

    used = [parameter for layer in scene.model.mlp.linear_layers() for parameter in (layer.weight, layer.bias)]
    gradients = torch.autograd.grad(loss, used)
    change = [random(*parameter.shape, seed=i, low=-1, high=1) for i, parameter in enumerate(used)]
    slope = sum((gradient * c).sum() for gradient, c in zip(gradients, change, strict=True)).item()

    def loss_at(step: float) -> float:
        moved = [(parameter.detach() + step * c).numpy() for parameter, c in zip(used, change, strict=True)]
        return scene.slow_loss(scene.slow(list(zip(moved[::2], moved[1::2], strict=True)), True, t_vals))

    step = 1e-5
    assert slope == pytest.approx((loss_at(step) - loss_at(-step)) / (2 * step), rel=1e-5, abs=1e-7)
