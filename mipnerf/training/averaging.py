"""Means of the weights over the last steps, which are better than the weights of any of them while steps are large."""

import copy

import torch

from mipnerf.config import TrainConfig
from mipnerf.network.model import MipNerf


class Average:
    """An exponential moving average of a network's weights, whose memory halves in `half_life` steps.

    It begins as the plain mean of all steps, so that the initial weights have no part in it. `model` is a network of
    its own, with these weights.
    """

    def __init__(self, model: MipNerf, half_life: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.share = 1 - 0.5 ** (1 / half_life)

    @torch.no_grad()
    def add(self, model: MipNerf, step: int) -> None:
        """Count the weights of `model` after `step`, of which the first is 1."""
        means: list[torch.Tensor] = list(self.model.parameters())
        weights: list[torch.Tensor] = list(model.parameters())
        torch._foreach_lerp_(means, weights, max(self.share, 1 / step))


def make_average(model: MipNerf, train: TrainConfig) -> Average | None:
    """What `train.average` asks for, a share of `max_steps`; None for 0, which evaluates the last weights."""
    return Average(model, train.average * train.max_steps) if train.average else None
