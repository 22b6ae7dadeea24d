"""The interpreter of Triton, in which kernels are tested where no GPU is."""

import pytest


def need_interpreter() -> None:
    """Skip without it: releases before 3.7 fail with the newest NumPy; on a GPU they compute."""
    reason = "Triton 3.7 or newer, whose interpreter is used, is not installed: pip install -U triton"
    pytest.importorskip("triton", minversion="3.7", reason=reason)
