"""Metrics, loss and learning rate against slow second implementations and what must hold for any input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.config import TrainConfig
from mipnerf.evaluation import metrics
from mipnerf.training.optimization import clip_gradients_, compute_loss, weight_l2
from mipnerf.training.schedule import learning_rate_decay

unit = st.floats(1e-6, 0.999)


def images(seed: int, *shape: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    first = rng.uniform(size=shape)
    return [torch.from_numpy(first), torch.from_numpy(np.clip(first + rng.normal(0, 0.2, shape), 0, 1))]


# --- PSNR, average error, sRGB


@given(mse=st.floats(1e-9, 10))
def test_psnr_and_mse_are_inverse(mse):
    mse = torch.tensor(mse, dtype=torch.float64)
    psnr = metrics.mse_to_psnr(mse)
    assert psnr == pytest.approx(-10 * math.log10(mse))
    assert metrics.psnr_to_mse(psnr) == pytest.approx(mse.item())


@given(psnr=st.floats(0, 60), ssim=unit, lpips=unit)
def test_average_error_is_the_geometric_mean_of_three_errors(psnr, ssim, lpips):
    actual = metrics.compute_avg_error(*torch.tensor([psnr, ssim, lpips], dtype=torch.float64))
    assert actual == pytest.approx((10 ** (-psnr / 10) * math.sqrt(1 - ssim) * lpips) ** (1 / 3))


def test_srgb_conversions_are_inverse_and_keep_black_and_white():
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(metrics.srgb_to_linear(metrics.linear_to_srgb(x)), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(metrics.linear_to_srgb(x[[0, -1]]), x[[0, -1]])
    assert (torch.diff(metrics.linear_to_srgb(x)) > 0).all()


# --- SSIM


def ssim_by_loop(img0, img1, max_val, size, sigma, k1, k2):
    """SSIM map [H', W', C], window by window, moments taken around the means."""
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / sigma**2)
    window /= window.sum()
    height, width, channels = img0.shape
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    ssim = np.empty((height - size + 1, width - size + 1, channels))
    for y, x, c in np.ndindex(ssim.shape):
        a, b = (image[y : y + size, x : x + size, c] for image in (img0, img1))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        cov = (window * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        ssim[y, x, c] = luminance * (2 * cov + c2) / (var_a + var_b + c2)
    return ssim


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (14, 13, 3)),
        ({"filter_size": 8}, (10, 12, 1)),
        ({"filter_size": 7, "filter_sigma": 2.0, "max_val": 2.0}, (9, 12, 2)),
        ({"k1": 0.05, "k2": 0.1}, (11, 12, 3)),
    ],
)
def test_ssim_against_a_loop(options, shape):
    options = {"max_val": 1.0, "filter_size": 11, "filter_sigma": 1.5, "k1": 0.01, "k2": 0.03} | options
    img0, img1 = images(0, *shape)
    expected = ssim_by_loop(img0.numpy(), img1.numpy(), *options.values())
    np.testing.assert_allclose(metrics.compute_ssim(img0, img1, **options, return_map=True), expected, atol=1e-10)
    np.testing.assert_allclose(metrics.compute_ssim(img0, img1, **options), expected.mean(), atol=1e-10)


def test_ssim_of_an_image_and_its_negative_against_a_loop():
    img0 = images(5, 12, 13, 3)[0]
    expected = ssim_by_loop(img0.numpy(), 1 - img0.numpy(), 1.0, 11, 1.5, 0.01, 0.03)
    assert expected.max() < 0
    np.testing.assert_allclose(metrics.compute_ssim(img0, 1 - img0, 1.0, return_map=True), expected, atol=1e-10)


def test_ssim_of_flat_images_survives_the_rounding_of_their_variance():
    # In float32 the mean of squares minus the square of the mean comes out on either side of zero.
    value0, value1 = torch.linspace(0, 1, 50), torch.linspace(1, 0.2, 50)
    ssim = metrics.compute_ssim(
        value0[:, None, None, None].expand(50, 11, 11, 1), value1[:, None, None, None].expand(50, 11, 11, 1), 1.0
    )
    expected = (2 * value0 * value1 + 1e-4) / (value0**2 + value1**2 + 1e-4)
    torch.testing.assert_close(ssim, expected, rtol=1e-3, atol=1e-4)


@given(seed=st.integers(0, 2**32 - 1))
def test_ssim_is_symmetric_at_most_one_and_one_of_an_image_with_itself(seed):
    img0, img1 = images(seed, 12, 13, 3)
    assert metrics.compute_ssim(img0, img0, 1.0) == 1
    ssim = metrics.compute_ssim(img0, img1, 1.0)
    assert ssim == metrics.compute_ssim(img1, img0, 1.0)
    assert -1 <= ssim < 1


def test_ssim_of_a_batch_is_that_of_each_of_its_images():
    img0, img1 = images(1, 2, 12, 13, 3)
    each = torch.stack([metrics.compute_ssim(a, b, 1.0) for a, b in zip(img0, img1, strict=True)])
    torch.testing.assert_close(metrics.compute_ssim(img0, img1, 1.0), each)


def test_ssim_falls_with_noise():
    img0 = images(2, 20, 20, 3)[0]
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=img0.shape))
    values = [metrics.compute_ssim(img0, img0 + scale * noise, 1.0).item() for scale in (0, 0.01, 0.1, 1)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_metrics_keep_the_dtype_and_leave_their_arguments_alone(dtype):
    img0, img1 = (image.to(dtype) for image in images(4, 12, 13, 3))
    value = torch.tensor(0.3, dtype=dtype)
    arguments = [img0, img1, value]
    copies = [argument.clone() for argument in arguments]
    results = [
        metrics.compute_ssim(img0, img1, 1.0),
        metrics.compute_ssim(img0, img1, 1.0, return_map=True),
        metrics.mse_to_psnr(value),
        metrics.psnr_to_mse(value),
        metrics.compute_avg_error(value, value, value),
        metrics.linear_to_srgb(img0),
        metrics.srgb_to_linear(img0),
    ]
    assert {result.dtype for result in results} == {dtype}
    assert all(map(torch.equal, arguments, copies))


# --- Learning rate


def test_learning_rate_falls_log_linearly_from_its_first_to_its_last_value():
    rates = [learning_rate_decay(step, 1e-2, 1e-4, 100) for step in range(101)]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[50] == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(1e-4)
    np.testing.assert_allclose(np.diff(np.log(rates)), math.log(1e-2) / 100)


@given(step=st.integers(0, 2000), delay_mult=st.floats(0.001, 1))
def test_warm_up_rises_along_a_quarter_sine_and_then_ends(step, delay_mult):
    plain = learning_rate_decay(step, 1e-2, 1e-4, 1000)
    ratio = learning_rate_decay(step, 1e-2, 1e-4, 1000, lr_delay_steps=200, lr_delay_mult=delay_mult) / plain
    rise = math.sin(math.pi / 2 * min(step / 200, 1))
    assert ratio == pytest.approx(delay_mult + (1 - delay_mult) * rise)


def test_learning_rate_stays_at_its_last_value():
    assert learning_rate_decay(10**9, 1e-2, 1e-4, 100, 10, 0.1) == pytest.approx(1e-4)


# --- Loss and gradients


@pytest.mark.parametrize("disable_multiscale_loss", [False, True])
def test_loss_against_a_loop(disable_multiscale_loss):
    rng = np.random.default_rng(0)
    pixels, coarse, middle, fine = rng.uniform(size=(4, 6, 3))
    lossmult = 4.0 ** rng.integers(0, 4, (6, 1))
    config = TrainConfig(coarse_loss_mult=0.25, disable_multiscale_loss=disable_multiscale_loss)
    losses = []
    for rgb in (coarse, middle, fine):
        total = weight = 0.0
        for i in range(6):
            mask = 1.0 if disable_multiscale_loss else lossmult[i, 0]
            weight += mask
            total += mask * sum((rgb[i, c] - pixels[i, c]) ** 2 for c in range(3))
        losses.append(total / weight)
    levels = [(torch.from_numpy(rgb),) for rgb in (coarse, middle, fine)]
    actual = compute_loss(levels, torch.from_numpy(pixels), torch.from_numpy(lossmult), config)
    np.testing.assert_allclose(actual.losses, losses)
    np.testing.assert_allclose(actual.loss, 0.25 * (losses[0] + losses[1]) + losses[2])


def test_weight_l2_is_the_mean_square_of_all_parameters_together():
    parameters = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[4.0]])]
    assert weight_l2(parameters) == (1 + 4 + 9 + 16) / 4


def parameters_with_gradients(*gradients: list[float]) -> list[torch.nn.Parameter]:
    parameters = [torch.nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


@pytest.mark.parametrize(
    ("max_val", "max_norm", "expected"),
    [
        (0, 0, [[3.0, -4.0], [12.0]]),
        (3.5, 0, [[3.0, -3.5], [3.5]]),
        (0, 1.3, [[0.3, -0.4], [1.2]]),
        (0, 20, [[3.0, -4.0], [12.0]]),
        # Values first: after them the norm is sqrt(41), and it is halved.
        (4.0, 41**0.5 / 2, [[1.5, -2.0], [2.0]]),
    ],
)
def test_gradients_are_clipped_by_value_and_then_by_their_common_norm(max_val, max_norm, expected):
    parameters = parameters_with_gradients([3.0, -4.0], [12.0])
    clip_gradients_(parameters, max_val, max_norm)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, torch.tensor(gradient))


def test_gradients_of_zero_stay_zero_when_their_norm_is_clipped():
    parameters = parameters_with_gradients([0.0, 0.0])
    clip_gradients_(parameters, 0, 1.0)
    assert torch.equal(parameters[0].grad, torch.zeros(2))
