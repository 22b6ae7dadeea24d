"""Minutes instead of steps: as many steps as fit into them, measured once and kept with the checkpoints.

Whatever the speed of a later start, the training stays the same to the bit.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mipnerf.errors import CheckpointError
from mipnerf.files import write_text

FILE = "budget.yaml"
SHARE, MOST_SECONDS, LEAST_STEPS = 0.05, 10.0, 3  # of the measurement: of the budget, at most, at least


class Budget(NamedTuple):
    """Minutes of training, seconds of a step as they were measured, and on which device."""

    minutes: float
    seconds_per_step: float
    device: str

    @property
    def steps(self) -> int:
        """How many fit into the minutes, at least one."""
        return max(1, int(60 * self.minutes / self.seconds_per_step + 1e-6))

    def __str__(self) -> str:
        return f"{self.steps:,} steps of {self.seconds_per_step:.3g} s for {self.minutes:g} minutes"


def long_warm_up(budget: Budget, lr_delay_steps: int) -> str | None:
    """What to tell whoever has few minutes and the warm-up of a long training."""
    if 2 * lr_delay_steps <= budget.steps:
        return None
    share = f"{min(lr_delay_steps, budget.steps):,} of the {budget.steps:,} steps of {budget.minutes:g} minutes"
    return f"{share} warm up: set train.lr_delay_steps to a few percent of them"


def step_seconds(
    take_steps: Callable[[int], float], budget_seconds: float, agreed: Callable[[Callable[[], float]], float]
) -> float:
    """Seconds of a step. `take_steps` takes so many and returns their seconds.

    A first step, which also prepares what all need, is not counted. `agreed` makes a number of this process that of
    all processes, so that they stop together.
    """
    take_steps(1)
    steps, seconds, count = 0, 0.0, LEAST_STEPS
    while steps == 0 or seconds < min(SHARE * budget_seconds, MOST_SECONDS):
        elapsed = take_steps(count)
        seconds += agreed(lambda elapsed=elapsed: elapsed)  # type: ignore[misc]
        steps += count
        count = steps
    return seconds / steps


def read_budget(folder: Path) -> Budget | None:
    """What was measured for the training in `folder`; None where nothing was."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        minutes, seconds = float(values["minutes"]), float(values["seconds_per_step"])
        device = str(values["device"])
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} cannot be read ({reason}); it says how many steps this training has: restore it, or remove "
            f"{folder} to train anew"
        ) from None
    if not (minutes > 0 and seconds > 0):
        raise CheckpointError(f"{path} has a number that is not positive; remove {folder} to train anew")
    return Budget(minutes, seconds, device)


def write_budget(folder: Path, budget: Budget) -> None:
    """Keep `budget` beside the checkpoints in `folder`."""
    write_text(folder / FILE, yaml.safe_dump(budget._asdict(), sort_keys=False))
