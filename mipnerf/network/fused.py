"""The network as kernels of Triton: encoding and all layers in one, its gradient in another (see `kernels.py`).

What `MLP.forward` gives, for samples that get no gradient. The bottleneck is folded into what follows as in
`folded.py`. Weights are laid out for the kernels once a call (`packing.py`), filled up with zeros to widths that are
powers of two.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mipnerf.config import ModelConfig
from mipnerf.errors import ConfigError
from mipnerf.network.folded import pairs, unfolded_gradients
from mipnerf.network.packing import Columns, Encoding, Launch, Layout, Packed, columns_of, pack, power_of_two
from mipnerf.thirdparty import require_package

MAX_DEPTH, MAX_WIDTH, MAX_CONDITION_WIDTH = 30, 256, 128
TILE = 128  # of a layer's outputs, the most that a block holds in one piece
GRADIENT_PROGRAMS = 256  # that share the samples, where features make gradients
GRADIENT_BLOCK, GRADIENT_TILE = 64, 128
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Perceptron(Protocol):
    """What is asked of a network, which is an `MLP`."""

    layers: Sequence[torch.nn.Linear]
    condition_layers: Sequence[torch.nn.Linear]

    def skips_after(self, i: int) -> bool:
        """Whether the features join the output of trunk layer `i`."""

    def linear_layers(self) -> Iterator[torch.nn.Linear]:
        """All layers in their order."""


LAUNCHES = (Launch(64, 4), Launch(128, 8), Launch(64, 8))  # which is fastest depends on the GPU
INTERPRETED = Launch(1024, 4)  # on a CPU, where what counts is the number of operations


def encoding_of(model: ModelConfig) -> Encoding:
    """The encoding of a network's samples."""
    return Encoding(model.min_deg_point, model.max_deg_point, model.append_identity, model.ray_shape != "point")


def obstacle(model: ModelConfig, device: torch.device) -> str | None:
    """Why these kernels cannot compute a network on a device; None if they can."""
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return "they need a GPU (on a CPU, TRITON_INTERPRET=1 tries them, very slowly)"
    try:
        require_package("triton")
    except ConfigError as error:
        return str(error)
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return "they need a GPU of compute capability 8.0 or higher"
    if model.net_depth > MAX_DEPTH:
        return f"model.net_depth {model.net_depth} is more than {MAX_DEPTH}"
    if model.net_width > MAX_WIDTH:
        return f"model.net_width {model.net_width} is more than {MAX_WIDTH}"
    if model.proposal_depth > MAX_DEPTH:
        return f"model.proposal_depth {model.proposal_depth} is more than {MAX_DEPTH}"
    if model.proposal_depth and model.proposal_width > MAX_WIDTH:
        return f"model.proposal_width {model.proposal_width} is more than {MAX_WIDTH}"
    if model.use_viewdirs and model.net_depth_condition and model.net_width_condition > MAX_CONDITION_WIDTH:
        return f"model.net_width_condition {model.net_width_condition} is more than {MAX_CONDITION_WIDTH}"
    if model.net_activation != "relu":
        return f"model.net_activation {model.net_activation} is not relu"
    if model.num_levels > 1 and not model.stop_level_grad and model.ray_shape != "point":
        return "samples get a gradient (model.stop_level_grad is false)"
    return None


def launches_on(device: torch.device) -> tuple[Launch, ...]:
    """The ways to start the kernels that are worth a try."""
    return LAUNCHES if device.type == "cuda" else (INTERPRETED,)


def fused_network(
    mlp: Perceptron,
    means: Tensor,
    covs: Tensor | None,
    condition: Tensor | None,
    encoding: Encoding,
    dtype: torch.dtype,
    launch: Launch = LAUNCHES[0],
) -> tuple[Tensor, Tensor]:
    """Raw rgb [N, S, 3] and raw density [N, S, 1], in float32, of samples that are not encoded yet.

    Args:
        means: [N, S, 3], float32, which get no gradient.
        covs: [N, S, 3], diagonals of the covariances; None for points.
        condition: [N, D] encoded directions.
        dtype: of the products of matrices; their sums are in float32.
    """
    if dtype not in DTYPES:
        raise ValueError(f"the kernels take no products in {dtype}")
    rays, samples, _ = means.shape
    parameters = [p for layer in mlp.linear_layers() for p in (layer.weight, layer.bias)]
    layout = Layout(
        skips=tuple(mlp.skips_after(i) for i in range(len(mlp.layers))),
        conditions=0 if condition is None else len(mlp.condition_layers),
        num_samples=samples,
        dtype=dtype,
        encoding=encoding,
        launch=launch,
        stores=torch.is_grad_enabled() and any(p.requires_grad for p in parameters),
    )
    means = means.detach().reshape(-1, 3).contiguous()
    covs = torch.zeros_like(means) if covs is None else covs.detach().reshape(-1, 3).contiguous()
    with torch.autocast(means.device.type, enabled=False):
        rgb, density = _FusedNetwork.apply(layout, means, covs, condition, *parameters)
    return rgb.view(rays, samples, 3), density.view(rays, samples, 1)


class _FusedNetwork(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layout: Layout, means: Tensor, variances: Tensor, condition: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        kernels = _kernels()
        count, depth = len(means), len(layout.skips)
        columns = columns_of(layout.encoding, means.device)
        head_layers = pairs(parameters)[depth + 1 :]
        if condition is None:
            folded, addition = head_layers[0]
            addition = addition[None]
        else:
            (bottleneck, bottleneck_bias), (weight, bias) = head_layers[:2]
            width = bottleneck.shape[0]
            folded = weight[:, :width] @ bottleneck
            addition = torch.addmm(bias + weight[:, :width] @ bottleneck_bias, condition, weight[:, width:].t())
        packed = pack(layout, parameters, folded, columns)
        head_width, padded = packed.head.shape
        addition = F.pad(addition, (0, head_width - addition.shape[1]))
        rgb, density = means.new_empty(count, 3), means.new_empty(count, 1)
        hidden = tail = rgb
        if layout.stores:
            hidden = means.new_empty(depth, count, padded, dtype=layout.dtype)
            tail = means.new_empty(layout.conditions, count, head_width, dtype=layout.dtype)
        with _on(means.device):
            kernels.forward_kernel[(_cdiv(count, layout.launch.block),)](
                means,
                variances,
                addition,
                rgb,
                density,
                hidden,
                tail if tail.numel() else rgb,
                columns.scales,
                columns.phases,
                *packed,
                num_samples=count,
                samples_per_ray=layout.num_samples,
                addition_stride=0 if condition is None else head_width,
                SKIPS=sum(skips << i for i, skips in enumerate(layout.skips)),
                K=len(columns.scales),
                IDENTITY=columns.identity,
                SINE=_sine(layout),
                STORES=layout.stores,
                **_shape(layout, padded, head_width),
            )
        ctx.layout, ctx.packed, ctx.columns = layout, packed, columns
        ctx.save_for_backward(means, variances, condition, hidden, tail, *parameters)
        return rgb, density

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_rgb: Tensor, d_density: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        packed: Packed = ctx.packed
        means, variances, condition, hidden, tail, *parameters = ctx.saved_tensors
        depth, conditions, count = len(layout.skips), layout.conditions, len(means)
        layers = pairs(tuple(parameters))
        head_width, padded = packed.head.shape
        programs = _cdiv(count, layout.launch.block)
        d_hidden, d_tail = torch.empty_like(hidden), torch.empty_like(tail)
        d_biases = means.new_empty(programs, depth, padded)
        d_condition_biases = means.new_empty(programs, max(1, conditions), head_width)
        d_rgb, d_density = d_rgb.float().contiguous(), d_density.float().contiguous()
        with _on(means.device):
            _kernels().backward_kernel[(programs,)](
                d_rgb,
                d_density,
                hidden,
                tail if conditions else hidden,
                d_hidden,
                d_tail if conditions else d_hidden,
                d_biases,
                d_condition_biases,
                packed.trunk,
                packed.density,
                packed.head,
                packed.conditions,
                packed.rgb,
                num_samples=count,
                **_shape(layout, padded, head_width),
            )
        bias_sums, condition_bias_sums = d_biases.sum(0), d_condition_biases.sum(0)

        def weight_gradient(d_output: Tensor, below: Tensor | None, sees: bool, like: Tensor) -> Tensor:
            """That of the weight `like`, for the layer `below` and the features, if it `sees` them."""
            outputs, inputs = like.shape
            width = inputs - len(ctx.columns.places) if sees else inputs
            parts = []
            if below is not None:
                parts.append((d_output.t() @ below)[:outputs, :width].to(like.dtype))
            if sees:
                gradient = _encoded_gradient(layout, ctx.columns, means, variances, d_output)
                parts.append(gradient[:outputs, ctx.columns.places].to(like.dtype))
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

        gradients: list[Tensor | None] = []
        for i, (weight, bias) in enumerate(layers[:depth]):
            sees = i == 0 or layout.skips[i - 1]
            gradients.append(weight_gradient(d_hidden[i], hidden[i - 1] if i else None, sees, weight))
            gradients.append(bias_sums[i, : len(bias)])
        last = layout.skips[-1]
        d_raw_density = d_density.to(layout.dtype)
        gradients += [weight_gradient(d_raw_density, hidden[-1], last, layers[depth][0]), d_density.sum(0)]
        d_raw_rgb = d_rgb.to(layout.dtype)
        d_head = d_tail[0] if conditions else d_raw_rgb
        if condition is None:
            gradients += [weight_gradient(d_head, hidden[-1], last, layers[-1][0]), d_rgb.sum(0)]
            return None, None, None, None, *gradients
        (bottleneck, bottleneck_bias), (weight, _) = layers[depth + 1 : depth + 3]
        outputs = len(weight)
        d_folded = weight_gradient(d_head, hidden[-1], last, weight.new_empty(outputs, bottleneck.shape[1]))
        per_ray = d_head[:, :outputs].unflatten(0, (-1, layout.num_samples)).sum(1, dtype=weight.dtype)
        gradients += unfolded_gradients(d_folded, per_ray, condition, bottleneck, bottleneck_bias, weight)
        for i, (weight, bias) in enumerate(layers[depth + 3 :], start=1):
            is_rgb = i == conditions
            d_output = d_raw_rgb if is_rgb else d_tail[i]
            gradients.append(weight_gradient(d_output, tail[i - 1], False, weight))
            gradients.append(d_rgb.sum(0) if is_rgb else condition_bias_sums[i, : len(bias)])
        return None, None, None, None, *gradients


def _shape(layout: Layout, padded: int, head_width: int) -> dict[str, int]:
    """What the kernels that walk through the layers are compiled for."""
    tile = min(padded, TILE)
    return {
        "DEPTH": len(layout.skips),
        "CONDITIONS": layout.conditions,
        "T": tile,
        "HALVES": padded // tile,
        "C0": head_width,
        "BLOCK": layout.launch.block,
        "num_warps": layout.launch.warps,
        "num_stages": 1,  # a layer's weights fill the shared memory as it is
    }


def _encoded_gradient(layout: Layout, columns: Columns, means: Tensor, variances: Tensor, d_output: Tensor) -> Tensor:
    """[O, 3 K] float32: the gradient of weights of features, from that of their products [M, O]."""
    width = power_of_two(d_output.shape[1])
    d_output = F.pad(d_output, (0, width - d_output.shape[1])).contiguous()
    tile, count = min(width, GRADIENT_TILE), len(means)
    block = GRADIENT_BLOCK if means.is_cuda else INTERPRETED.block
    share = block * _cdiv(count, block * GRADIENT_PROGRAMS)
    programs = _cdiv(count, share)
    partial = means.new_empty(programs, width, 3 * len(columns.scales))
    with _on(means.device):
        _kernels().encoded_gradient_kernel[(programs, width // tile)](
            means,
            variances,
            d_output,
            partial,
            columns.scales,
            columns.phases,
            num_samples=count,
            samples_per_program=share,
            WIDTH=width,
            T=tile,
            K=len(columns.scales),
            IDENTITY=columns.identity,
            SINE=_sine(layout),
            BLOCK=block,
            num_warps=8,
        )
    return partial.sum(0)


def _kernels() -> ModuleType:
    """Where the kernels are; Triton is only imported by those who use it."""
    require_package("triton")
    from mipnerf.network import kernels

    return kernels


def _sine(layout: Layout) -> int:
    """How the kernels take sines, as a number that they know."""
    if layout.dtype is not torch.float32:
        return 2
    return 0 if layout.encoding.periodic else 1


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Kernels are started on the current GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)
