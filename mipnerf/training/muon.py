"""Muon: matrices move by their mean gradient made orthogonal, and learn more in few steps than by Adam.

Beyond the paper. Vectors, and small matrices such as the heads for density and colour, remain Adam's. Processes that
train one network do this each for itself: they need machines that round alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mipnerf.training.adam import Adam
from mipnerf.workers import Mapper

MOMENTUM = 0.95
# An update then is about as large as Adam's, so that one learning rate does for both (Liu et al., Muon is Scalable for
# LLM Training, 2025, section 2.2).
UPDATE_RMS = 0.2
# Of a polynomial that, applied five times, brings all singular values but the smallest near 1 (Jordan et al., Muon,
# 2024: "Newton-Schulz iteration with tuned coefficients").
COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
LEAST_SIDE = 16  # of a matrix
GROUP = 2  # matrices at a time
LEAST_SIDE_OF_BFLOAT16 = 96  # of smaller ones, products in float32 are as fast


def orthogonalized(matrices: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Matrices with the singular vectors of `matrices` [G, M, N], and singular values near 1; zero remains zero.

    Products of large matrices are in `precision`, of which bfloat16 is enough (Jordan et al., 2024).
    """
    a, b, c = COEFFICIENTS
    is_wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if is_wide else matrices.mT
    x = x / (x.square().sum((1, 2), keepdim=True).sqrt() + 1e-7)
    x = x.to(precision) if x.shape[1] >= LEAST_SIDE_OF_BFLOAT16 else x
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if is_wide else x.mT).to(matrices.dtype)


class Muon:
    """Muon with Nesterov's momentum for matrices, `Adam` for all other parameters, both at one learning rate."""

    def __init__(self, parameters: Iterable[nn.Parameter], precision: torch.dtype = torch.float32) -> None:
        """`precision` is that of the products of large matrices."""
        self.precision = precision
        parameters = list(parameters)
        self.momenta: dict[Tensor, Tensor] = {
            parameter: torch.zeros_like(parameter, requires_grad=False)
            for parameter in parameters
            if parameter.ndim == 2 and min(parameter.shape) >= LEAST_SIDE
        }
        # Of one shape each, for few and large operations; the largest first, as workers begin with them.
        alike = [[p for p in self.momenta if p.shape == shape] for shape in {p.shape: None for p in self.momenta}]
        groups: list[list[Tensor]] = [[*group[i : i + GROUP]] for group in alike for i in range(0, len(group), GROUP)]
        self.groups = sorted(groups, key=lambda group: -len(group) * group[0].numel())
        self.others = Adam(parameter for parameter in parameters if parameter not in self.momenta)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Take the next steps with this rate."""
        self.others.set_learning_rate(learning_rate)

    @torch.no_grad()
    def step(self, workers: Mapper | None = None) -> None:
        """Move all parameters, each of which needs its gradient; `workers` compute updates beside one another."""
        self.others.step()
        updates = workers.map(self._update, self.groups) if workers else map(self._update, self.groups)
        for group, update in zip(self.groups, updates, strict=True):
            update = update * (self.others.learning_rate * UPDATE_RMS * max(group[0].shape) ** 0.5)
            torch._foreach_sub_(group, list(update))

    @torch.no_grad()  # whose state is one of each thread
    def _update(self, group: list[Tensor]) -> Tensor:
        """Count the gradients of matrices of one shape, and return their directions [G, M, N]."""
        gradients = [parameter.grad for parameter in group if parameter.grad is not None]
        momenta = [self.momenta[parameter] for parameter in group]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        return orthogonalized(torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM)), self.precision)

    def state_dict(self) -> dict[str, Any]:
        """That of Adam, and the momenta by their place among the matrices."""
        return self.others.state_dict() | {"momenta": dict(enumerate(self.momenta.values()))}

    @torch.no_grad()
    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.others.load_state_dict(content)
        for i, momentum in enumerate(self.momenta.values()):
            momentum.copy_(content["momenta"][i])
