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


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` [M, N], and singular values near 1; zero remains zero."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrix else x.T


class Muon:
    """Muon with Nesterov's momentum for matrices, `Adam` for all other parameters, both at one learning rate."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        parameters = list(parameters)
        self.momenta = {
            parameter: torch.zeros_like(parameter, requires_grad=False)
            for parameter in parameters
            if parameter.ndim == 2 and min(parameter.shape) >= LEAST_SIDE
        }
        self.others = Adam(parameter for parameter in parameters if parameter not in self.momenta)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Take the next steps with this rate."""
        self.others.set_learning_rate(learning_rate)

    @torch.no_grad()
    def step(self, workers: Mapper | None = None) -> None:
        """Move all parameters, each of which needs its gradient; `workers` compute updates beside one another."""
        self.others.step()
        updates = workers.map(self._update, self.momenta) if workers else map(self._update, self.momenta)
        for parameter, update in zip(self.momenta, updates, strict=True):
            parameter.sub_(update * (self.others.learning_rate * UPDATE_RMS * max(parameter.shape) ** 0.5))

    def _update(self, parameter: nn.Parameter) -> Tensor:
        """Count the gradient of a matrix, and return its direction [M, N]."""
        assert parameter.grad is not None
        momentum = self.momenta[parameter]
        momentum.lerp_(parameter.grad, 1 - MOMENTUM)
        return orthogonalized(parameter.grad.lerp(momentum, MOMENTUM))

    def state_dict(self) -> dict[str, Any]:
        """That of Adam, and the momenta by their place among the matrices."""
        return self.others.state_dict() | {"momenta": dict(enumerate(self.momenta.values()))}

    @torch.no_grad()
    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.others.load_state_dict(content)
        for i, momentum in enumerate(self.momenta.values()):
            momentum.copy_(content["momenta"][i])
