import resource

import pytest
import torch

from mipnerf.workers import keep_freed_memory


def allocate_and_free() -> None:
    """80 MB, in twenty tensors that live together."""
    tensors = [torch.ones(1 << 20) for _ in range(20)]
    assert len(tensors) == 20


def test_the_memory_of_freed_tensors_is_used_again():
    if not keep_freed_memory():
        pytest.skip("the C library of this machine has no mallopt: freed memory cannot be kept")
    allocate_and_free()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        allocate_and_free()
    # Fresh pages would be 10 times 20 times 1024.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 20_000
