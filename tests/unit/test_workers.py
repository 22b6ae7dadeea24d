import subprocess
import sys

import pytest

# In a process of its own, whose memory nothing has fragmented: pages that are new to it, after a first round.
PROGRAM = """
import resource
import torch
from mipnerf.workers import keep_freed_memory

def allocate_and_free():
    tensors = [torch.ones(1 << 20) for _ in range(20)]  # 80 MB that live together

if not keep_freed_memory():
    print("none")
else:
    allocate_and_free()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        allocate_and_free()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
def test_the_memory_of_freed_tensors_is_used_again():
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout.strip()
    if printed == "none":
        pytest.skip("the C library of this machine has no mallopt: freed memory cannot be kept")
    # Fresh pages would be 10 times 20 times 1024.
    assert int(printed) < 20_000
