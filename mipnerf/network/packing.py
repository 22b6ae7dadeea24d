"""How weights and encodings are laid out for the kernels of the fused network."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mipnerf.network.folded import pairs

NARROW = 16  # outputs of a layer that has fewer: the least that a product takes


class Encoding(NamedTuple):
    """Sines and cosines of some degrees, after the position itself where `identity` says so.

    With `periodic` sines of float32 are those of `mip.safe_sin`.
    """

    min_deg: int
    max_deg: int
    identity: bool
    periodic: bool


class Launch(NamedTuple):
    """How a kernel is started: samples of a block, and warps that compute it."""

    block: int = 64
    warps: int = 4


class Layout(NamedTuple):
    """How the parameters, which are those of `MLP.linear_layers`, and the samples are to be read."""

    skips: tuple[bool, ...]  # for each trunk layer: the features join its output
    conditions: int  # layers after the bottleneck that are rectified
    num_samples: int  # of a ray, which share the condition
    dtype: torch.dtype  # of the products
    encoding: Encoding
    launch: Launch
    stores: bool  # what the gradient needs is kept


class Columns(NamedTuple):
    """The features of a dimension as the kernels have them: [K] scales and phases, and where each is in a layer.

    K is a power of two; what is left over has scale and weight 0.
    """

    scales: Tensor
    phases: Tensor
    features: Tensor  # [3 K] of the layer's inputs, dimension by dimension; one past their end is a column of zeros
    places: Tensor  # [F] of the inputs in that order
    identity: int  # the column that is the position itself, or -1


@cache
def columns_of(encoding: Encoding, device: torch.device) -> Columns:
    """The columns of an encoding; made once, since a graph that is captured must not upload them."""
    degrees = encoding.max_deg - encoding.min_deg
    used = 2 * degrees + encoding.identity
    count = power_of_two(used)
    scales, phases = torch.zeros(count), torch.zeros(count)
    scales[: 2 * degrees] = (2.0 ** torch.arange(encoding.min_deg, encoding.max_deg)).repeat(2)
    phases[degrees : 2 * degrees] = 0.5 * torch.pi
    first = 3 * encoding.identity
    num_features = first + 6 * degrees
    features = torch.full((3, count), num_features)
    for dimension in range(3):
        features[dimension, : 2 * degrees] = first + dimension + 3 * torch.arange(2 * degrees)
        if encoding.identity:
            features[dimension, 2 * degrees] = dimension
    places = torch.empty(num_features + 1, dtype=torch.int64)
    places[features.flatten()] = torch.arange(3 * count)
    identity = 2 * degrees if encoding.identity else -1
    # Outside of inference mode: the tensors are kept, and training uses them later.
    with torch.inference_mode(False):
        scales, phases, places = (tensor.to(device, copy=True) for tensor in (scales, phases, places[:-1]))
        return Columns(scales, phases, features.flatten().to(device, copy=True), places, identity)


def power_of_two(width: int) -> int:
    """The least power of two that is not less than `width`, or than the kernels take."""
    return max(NARROW, 1 << (width - 1).bit_length())


class Packed(NamedTuple):
    """The weights in the order of the kernels' arguments."""

    encoded: Tensor
    trunk: Tensor
    trunk_bias: Tensor
    density: Tensor
    density_encoded: Tensor
    density_bias: Tensor
    head: Tensor
    head_encoded: Tensor
    conditions: Tensor
    condition_bias: Tensor
    rgb: Tensor
    rgb_bias: Tensor


def pack(layout: Layout, parameters: Sequence[Tensor], folded: Tensor, columns: Columns) -> Packed:
    """Lay out the weights; `folded` [O, W (+ F)] is the first layer of the head, with the bottleneck in it."""
    depth, dtype = len(layout.skips), layout.dtype
    layers = pairs(tuple(parameters))
    trunk, (density, density_bias) = layers[:depth], layers[depth]
    tail = layers[len(layers) - layout.conditions :] if layout.conditions else []
    width = trunk[0][0].shape[0]
    padded = power_of_two(width)
    head_width = power_of_two(folded.shape[0])

    def features(weight: Tensor, rows: int) -> Tensor:
        """The last columns of a weight, which the features are multiplied with: [rows, 3 K]."""
        own = F.pad(weight[:, -len(columns.places) :], (0, 1, 0, rows - len(weight)))
        return own[:, columns.features].to(dtype)

    def hidden(weight: Tensor, rows: int) -> Tensor:
        """The first columns of a weight, which the layer before is multiplied with: [rows, padded]."""
        return F.pad(weight[:, :width].to(dtype), (0, padded - width, 0, rows - len(weight)))

    seeing = [0, *(i + 1 for i in range(depth - 1) if layout.skips[i])]
    encoded = torch.stack([features(trunk[i][0], padded) for i in seeing])
    last = layout.skips[-1]
    out_weight, out_bias = tail[-1] if tail else (folded[:0], density_bias)
    middle = tail[:-1]
    return Packed(
        encoded=encoded,
        trunk=torch.stack([hidden(weight, padded) for weight, _ in trunk[1:]]) if depth > 1 else encoded,
        trunk_bias=F.pad(torch.stack([bias for _, bias in trunk]), (0, padded - width)),
        density=hidden(density, NARROW),
        density_encoded=features(density, NARROW) if last else encoded,
        density_bias=density_bias,
        head=hidden(folded, head_width),
        head_encoded=features(folded, head_width) if last else encoded,
        conditions=torch.stack([_filled(weight, head_width, head_width).to(dtype) for weight, _ in middle])
        if middle
        else encoded,
        condition_bias=F.pad(torch.stack([bias for _, bias in middle]), (0, head_width - len(middle[0][1])))
        if middle
        else density_bias,
        rgb=_filled(out_weight, NARROW, head_width).to(dtype) if tail else encoded,
        rgb_bias=F.pad(out_bias, (0, NARROW - len(out_bias))),
    )


def _filled(weight: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(weight, (0, columns - weight.shape[1], 0, rows - weight.shape[0]))
