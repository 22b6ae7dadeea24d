"""A whole step of training as one graph of a GPU: nothing is launched by the host but the graph."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class CapturedStep:
    """Records what `step` launches and returns; it runs when this is called, with the same tensors.

    Random numbers come from `generators`, whose seeds count when the graph runs. `step` must wait for nothing, and
    read nothing from the host that changes.
    """

    def __init__(self, step: Callable[[], Tensor], generators: Iterable[torch.Generator]):
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        # Another thread may just be writing a checkpoint.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.result = step()

    def __call__(self) -> Tensor:
        """Run the step; the result is overwritten by the next."""
        self.graph.replay()
        return self.result
