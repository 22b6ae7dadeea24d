"""The learning rate of the paper: log-linear decay with an optional warm-up."""

import math


def learning_rate_decay(
    step: int, lr_init: float, lr_final: float, max_steps: int, lr_delay_steps: int = 0, lr_delay_mult: float = 1
) -> float:
    """Learning rate at `step` (the first is 1), from `lr_init` to `lr_final` at `max_steps`.

    During the first `lr_delay_steps` it is multiplied by a quarter sine that rises from `lr_delay_mult` to 1
    (`learning_rate_decay` of google/mipnerf).
    """
    delay_rate = 1.0
    if lr_delay_steps > 0:
        progress = min(max(step / lr_delay_steps, 0), 1)
        delay_rate = lr_delay_mult + (1 - lr_delay_mult) * math.sin(0.5 * math.pi * progress)
    t = min(max(step / max_steps, 0), 1)
    return delay_rate * math.exp(math.log(lr_init) * (1 - t) + math.log(lr_final) * t)
