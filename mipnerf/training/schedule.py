"""The learning rate of the paper, log-linear decay with an optional warm-up, and another for short trainings."""

import math


def learning_rate_decay(
    step: int, lr_init: float, lr_final: float, max_steps: int, lr_delay_steps: int = 0, lr_delay_mult: float = 1
) -> float:
    """Learning rate at `step` (the first is 1), from `lr_init` to `lr_final` at `max_steps`.

    During the first `lr_delay_steps` it is multiplied by a quarter sine that rises from `lr_delay_mult` to 1
    (`learning_rate_decay` of google/mipnerf).
    """
    t = min(max(step / max_steps, 0), 1)
    rate = math.exp(math.log(lr_init) * (1 - t) + math.log(lr_final) * t)
    return warm_up(step, lr_delay_steps, lr_delay_mult) * rate


def cosine_decay(
    step: int, lr_init: float, lr_final: float, max_steps: int, lr_delay_steps: int = 0, lr_delay_mult: float = 1
) -> float:
    """Learning rate at `step` as half a cosine from `lr_init` to `lr_final` at `max_steps`.

    Half of the steps have more than their mean, with the warm-up of `learning_rate_decay` (Loshchilov and Hutter, SGDR,
    ICLR 2017, without restarts).
    """
    t = min(max(step / max_steps, 0), 1)
    rate = lr_final + (lr_init - lr_final) * 0.5 * (1 + math.cos(math.pi * t))
    return warm_up(step, lr_delay_steps, lr_delay_mult) * rate


def warm_up(step: int, lr_delay_steps: int, lr_delay_mult: float) -> float:
    """The share of the learning rate at `step`: 1 after `lr_delay_steps`."""
    if lr_delay_steps <= 0:
        return 1.0
    progress = min(max(step / lr_delay_steps, 0), 1)
    return lr_delay_mult + (1 - lr_delay_mult) * math.sin(0.5 * math.pi * progress)


# By the names that `train.schedule` takes.
SCHEDULES = {"log_linear": learning_rate_decay, "cosine": cosine_decay}
