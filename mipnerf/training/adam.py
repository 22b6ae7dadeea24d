"""Adam, with the arithmetic of PyTorch and without its compiler.

The first `torch.optim.Adam` of a process imports that compiler, whether anything is compiled or not, which takes longer
than to import all the rest of PyTorch.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from mipnerf.workers import Mapper

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Adam as the reference has it; `state` holds step and moments of each parameter, as PyTorch names them."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {
            parameter: {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
            for parameter in parameters
        }
        device = next(iter(self.state)).device
        # A step that is captured on a GPU reads the rate of each time from its memory.
        self.learning_rate: Tensor | float = 0.0 if device.type == "cpu" else torch.zeros((), device=device)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Take the next steps with this rate."""
        if isinstance(self.learning_rate, Tensor):
            self.learning_rate.fill_(learning_rate)
        else:
            self.learning_rate = learning_rate

    @torch.no_grad()
    def step(self, workers: Mapper | None = None) -> None:
        """Move all parameters, each of which needs its gradient; one operation does it, so `workers` have no part."""
        gradients = [parameter.grad for parameter in self.state if parameter.grad is not None]
        steps, means, squares = (
            [state[name] for state in self.state.values()] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        adam(
            list(self.state),
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """The state by the numbers of the parameters, as an optimizer of PyTorch gives it."""
        return {"state": dict(enumerate(self.state.values()))}

    @torch.no_grad()
    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Take over a state, which may be one of `torch.optim.Adam`; it has none before its first step."""
        for i, values in content["state"].items():
            for name, value in list(self.state.values())[i].items():
                value.copy_(values[name])
