"""Each test for a GPU is one for a CPU, too, as far as that goes: it shows that the test itself works."""

import pytest
import torch


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    """Where to compute."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no GPU here")
        torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(request.param)
