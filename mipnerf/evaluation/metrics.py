"""Image metrics exactly as google/mipnerf computes them (`internal/math.py`): on unclipped, unquantised floats."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

SSIM_WINDOW = 11  # pixels along a side


def mse_to_psnr(mse: Tensor) -> Tensor:
    """PSNR in dB of a mean squared error, for values whose maximum is 1."""
    return -10 / math.log(10) * torch.log(mse)


def psnr_to_mse(psnr: Tensor) -> Tensor:
    """Inverse of `mse_to_psnr`."""
    return torch.exp(-0.1 * math.log(10) * psnr)


def compute_avg_error(psnr: Tensor, ssim: Tensor, lpips: Tensor) -> Tensor:
    """The paper's "Avg.": geometric mean of the MSE, sqrt(1 - SSIM) and LPIPS."""
    errors = torch.stack([psnr_to_mse(psnr), torch.sqrt(1 - ssim), lpips])
    return torch.exp(torch.log(errors).mean(0))


def compute_ssim(
    img0: Tensor,
    img1: Tensor,
    max_val: float,
    filter_size: int = SSIM_WINDOW,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    return_map: bool = False,
) -> Tensor:
    """Structural similarity over the valid region of a Gaussian window.

    Args:
        img0, img1: [..., H, W, C], at least `filter_size` in height and width.
        max_val: the largest possible value of a pixel.

    Returns:
        [...] means, or with `return_map` the map [..., H - filter_size + 1, W - filter_size + 1, C].
    """
    half = filter_size // 2
    shift = (2 * half - filter_size + 1) / 2
    offsets = (torch.arange(filter_size, dtype=img0.dtype, device=img0.device) - half + shift) / filter_sigma
    window = torch.exp(-0.5 * offsets**2)
    window = window / window.sum()

    def blur(image: Tensor) -> Tensor:
        rows = image.unfold(-3, filter_size, 1) @ window
        return rows.unfold(-2, filter_size, 1) @ window

    mu0, mu1 = blur(img0), blur(img1)
    mu00, mu11, mu01 = mu0 * mu0, mu1 * mu1, mu0 * mu1
    # Rounding must not make a variance negative, or a covariance larger than its bound.
    sigma00 = (blur(img0**2) - mu00).clamp_min(0)
    sigma11 = (blur(img1**2) - mu11).clamp_min(0)
    sigma01 = blur(img0 * img1) - mu01
    sigma01 = torch.sign(sigma01) * torch.minimum(torch.sqrt(sigma00 * sigma11), sigma01.abs())

    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    numerator = (2 * mu01 + c1) * (2 * sigma01 + c2)
    denominator = (mu00 + mu11 + c1) * (sigma00 + sigma11 + c2)
    ssim_map = numerator / denominator
    return ssim_map if return_map else ssim_map.mean((-3, -2, -1))


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Linear light to sRGB, both in [0, 1]."""
    eps = torch.finfo(torch.float32).eps
    return torch.where(linear <= 0.0031308, 323 / 25 * linear, (211 * linear.clamp_min(eps) ** (5 / 12) - 11) / 200)


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Inverse of `linear_to_srgb`."""
    eps = torch.finfo(torch.float32).eps
    return torch.where(srgb <= 0.04045, 25 / 323 * srgb, ((200 * srgb + 11) / 211).clamp_min(eps) ** (12 / 5))


def _psnr(rgb: Tensor, truth: Tensor, mask: Tensor | None) -> Tensor:
    """Of the pixels that count."""
    squares = (rgb - truth) ** 2
    return mse_to_psnr(squares.mean() if mask is None else squares[mask].mean())


def _ssim(rgb: Tensor, truth: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mean over the windows in which all pixels count."""
    if min(rgb.shape[:2]) < SSIM_WINDOW:
        return None
    if mask is None:
        return compute_ssim(rgb, truth, max_val=1.0)
    windows = mask.unfold(0, SSIM_WINDOW, 1).all(-1).unfold(1, SSIM_WINDOW, 1).all(-1)
    values = compute_ssim(rgb, truth, max_val=1.0, return_map=True)[windows]
    return values.mean() if len(values) else None


# What is measured of every rendering: of it and the truth, [H, W, 3] in [0, 1], and of the mask [H, W] of pixels that
# count, None where all do. The result is None where it cannot be measured.
MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor | None]] = {"psnr": _psnr, "ssim": _ssim}
