"""The network with its gradient written out: what autograd makes of `MLP.forward`, with less work.

- The bottleneck is linear and so is what follows: their weights are multiplied once, not their outputs for each sample,
  which saves 11 % of all products of the default network. The gradient of both follows from that of their product.
- Samples get no gradient, since nobody asks for it; activations and their masks take no memory of their own.
- Samples whose gradient is zero can be left out of the backward pass, which takes as much less time.
- Weights are converted to the type of the products once a call; their gradients come back in the parameters' type.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # weight and bias of a layer
HAS_ONEDNN_BFLOAT16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Layout(NamedTuple):
    """How the parameters are to be read: weight and bias of the layers, in the order of `MLP.linear_layers`."""

    skips: tuple[bool, ...]  # for each trunk layer: the features join its output
    num_samples: int  # of a ray, which share the condition
    dtype: torch.dtype  # of the products
    is_sparse: bool  # samples whose gradient is zero are left out


class Perceptron(Protocol):
    """What is asked of a network, which is an `MLP`."""

    layers: Sequence[torch.nn.Linear]

    def skips_after(self, i: int) -> bool:
        """Whether the features join the output of trunk layer `i`."""

    def linear_layers(self) -> Iterator[torch.nn.Linear]:
        """All layers in their order."""


def folded_mlp(
    mlp: Perceptron, x: Tensor, condition: Tensor | None, dtype: torch.dtype, is_sparse: bool = False
) -> tuple[Tensor, Tensor]:
    """Raw rgb [N, S, 3] and raw density [N, S, 1], in `dtype`, of `mlp` as `MLP.forward` has them.

    Args:
        x: [N, S, F] encoded samples, which get no gradient.
        condition: [N, D] encoded directions, which get none either.
        dtype: of the products of matrices.
        is_sparse: the gradient of many samples is zero; they are left out, which a CPU does best.
    """
    rays, samples, _ = x.shape
    layout = Layout(tuple(mlp.skips_after(i) for i in range(len(mlp.layers))), samples, dtype, is_sparse)
    parameters = [p for layer in mlp.linear_layers() for p in (layer.weight, layer.bias)]
    with torch.autocast(x.device.type, enabled=False):
        rgb, density = _FoldedMlp.apply(layout, x.flatten(0, 1), condition, *parameters)
    return rgb.view(rays, samples, -1), density.view(rays, samples, -1)


class _FoldedMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, layout: Layout, x: Tensor, condition: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = x.to(layout.dtype)
        layers = pairs([p.to(layout.dtype) for p in parameters])
        trunk, (density_weight, density_bias), head = _split(layers, layout)
        hidden, extra, outputs = x, None, []
        for (weight, bias), skips in zip(trunk, layout.skips, strict=True):
            hidden = _rectified(hidden, extra, weight, bias)
            outputs.append(hidden)
            extra = x if skips else None
        density = _affine(hidden, extra, density_weight, density_bias)
        folded, tail = None, []
        if condition is None:
            rgb = _affine(hidden, extra, *head[0])
        else:
            (bottleneck, bottleneck_bias), (weight, bias) = pairs(parameters)[len(trunk) + 1 : len(trunk) + 3]
            width = bottleneck.shape[0]
            folded = (weight[:, :width] @ bottleneck).to(layout.dtype)
            per_ray = torch.addmm(bias + weight[:, :width] @ bottleneck_bias, condition, weight[:, width:].t())
            rgb = _affine(hidden, extra, folded).view(-1, layout.num_samples, len(weight))
            rgb = rgb.add_(per_ray.to(layout.dtype)[:, None]).flatten(0, 1)
            for weight, bias in head[2:]:
                tail.append(rgb.relu_())
                rgb = torch.addmm(bias, rgb, weight.t())
        ctx.layout, ctx.num_tail = layout, len(tail)
        ctx.save_for_backward(x, condition, folded, *outputs, *tail, *parameters)
        return rgb, density

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_rgb: Tensor, d_density: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        depth = len(layout.skips)
        x, condition, folded, *rest = ctx.saved_tensors
        outputs, tail, parameters = rest[:depth], rest[depth : depth + ctx.num_tail], rest[depth + ctx.num_tail :]
        trunk, (density_weight, _), head = _split(pairs([p.to(layout.dtype) for p in parameters]), layout)
        d_rgb, d_density = d_rgb.to(layout.dtype), d_density.to(layout.dtype)
        rows = None
        if layout.is_sparse:
            rows = (d_density.any(1) | d_rgb.any(1)).nonzero().squeeze(1)
            x, d_rgb, d_density = x[rows], d_rgb[rows], d_density[rows]
            outputs, tail = [output[rows] for output in outputs], [output[rows] for output in tail]
        hidden, extra = outputs[-1], x if layout.skips[-1] else None

        gradients = _gradients(d_density, hidden, extra, parameters[0].dtype)
        if condition is None:
            gradients += _gradients(d_rgb, hidden, extra, parameters[0].dtype)
            d_hidden = d_rgb @ head[0][0][:, : hidden.shape[1]]
        else:
            tail_gradients: list[Tensor] = []
            for output, (weight, _) in zip(reversed(tail), reversed(head[2:]), strict=True):
                tail_gradients = _gradients(d_rgb, output, None, parameters[0].dtype) + tail_gradients
                d_rgb = _masked_(d_rgb @ weight, output)
            (bottleneck, bottleneck_bias), (weight, _) = pairs(parameters)[depth + 1 : depth + 3]
            d_folded = _weight_gradient(d_rgb, hidden, extra, weight.dtype)
            per_ray = _sum_over_rays(d_rgb, rows, len(condition), layout.num_samples).to(weight.dtype)
            gradients += unfolded_gradients(d_folded, per_ray, condition, bottleneck, bottleneck_bias, weight)
            gradients += tail_gradients
            d_hidden = d_rgb @ folded[:, : hidden.shape[1]]
        d_hidden.addmm_(d_density, density_weight[:, : hidden.shape[1]])

        trunk_gradients: list[Tensor] = []
        for i in reversed(range(depth)):
            d_output = _masked_(d_hidden, outputs[i])
            below, extra = (outputs[i - 1], x if layout.skips[i - 1] else None) if i else (x, None)
            trunk_gradients = _gradients(d_output, below, extra, parameters[0].dtype) + trunk_gradients
            if i:
                d_hidden = d_output @ trunk[i][0][:, : below.shape[1]]
        return None, None, None, *trunk_gradients, *gradients


def pairs(parameters: list[Tensor] | tuple[Tensor, ...]) -> list[Pair]:
    """Weight and bias of every layer."""
    return list(zip(parameters[::2], parameters[1::2], strict=True))


def _split(layers: list[Pair], layout: Layout) -> tuple[list[Pair], Pair, list[Pair]]:
    """The layers of the trunk, the density layer, and those from the bottleneck (or to rgb at once) on."""
    depth = len(layout.skips)
    return layers[:depth], layers[depth], layers[depth + 1 :]


def _affine(hidden: Tensor, extra: Tensor | None, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The layer's output for the concatenation of `hidden` and `extra`, which is never made."""
    width = hidden.shape[1]
    transposed = weight[:, :width].t()
    output = hidden @ transposed if bias is None else torch.addmm(bias, hidden, transposed)
    return output if extra is None else output.addmm_(extra, weight[:, width:].t())


def _rectified(hidden: Tensor, extra: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
    """The rectified output of the layer, in one go where oneDNN has products of bfloat16."""
    if hidden.dtype is not torch.bfloat16 or hidden.device.type != "cpu" or not HAS_ONEDNN_BFLOAT16:
        return _affine(hidden, extra, weight, bias).relu_()
    width = hidden.shape[1]
    if extra is None:
        return torch.ops.mkldnn._linear_pointwise(hidden, weight, bias, "relu", [], "")
    output = extra @ weight[:, width:].t()
    return torch.ops.mkldnn._linear_pointwise(hidden, output, weight[:, :width].contiguous(), bias, "add").relu_()


def _gradients(d_output: Tensor, hidden: Tensor, extra: Tensor | None, dtype: torch.dtype) -> list[Tensor]:
    """The gradients of a layer's weight and bias, in `dtype`."""
    return [_weight_gradient(d_output, hidden, extra, dtype), d_output.sum(0).to(dtype)]


def _weight_gradient(d_output: Tensor, hidden: Tensor, extra: Tensor | None, dtype: torch.dtype) -> Tensor:
    gradient = (d_output.t() @ hidden).to(dtype)
    return gradient if extra is None else torch.cat([gradient, (d_output.t() @ extra).to(dtype)], dim=1)


def _sum_over_rays(values: Tensor, rows: Tensor | None, rays: int, samples: int) -> Tensor:
    """[N, O] of those of all samples, or of the samples `rows`."""
    if rows is None:
        return values.view(rays, samples, values.shape[1]).sum(1)
    return values.new_zeros(rays, values.shape[1]).index_add_(0, rows // samples, values)


def unfolded_gradients(
    d_folded: Tensor, per_ray: Tensor, condition: Tensor, bottleneck: Tensor, bottleneck_bias: Tensor, weight: Tensor
) -> list[Tensor]:
    """The gradients of weight and bias of the bottleneck, and of the layer that follows.

    Args:
        d_folded: that of the product of both weights.
        per_ray: [N, O], those of what the layer gives, summed over the samples of a ray.
        condition: [N, D].
    """
    width = bottleneck.shape[0]
    d_bias = per_ray.sum(0)
    d_weight = torch.cat([torch.addr(d_folded @ bottleneck.t(), d_bias, bottleneck_bias), per_ray.t() @ condition], 1)
    transposed = weight[:, :width].t()
    return [transposed @ d_folded, transposed @ d_bias, d_weight, d_bias]


def _masked_(gradient: Tensor, output: Tensor) -> Tensor:
    """`gradient`, zeroed in place where the rectified `output` is 0."""
    return torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
