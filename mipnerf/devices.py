"""Where and in which precision a job computes."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from mipnerf.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device called `cpu`, `cuda`, or with `auto` a GPU, if any: the first, or one for each process of torchrun."""
    if name == "cpu":  # and no GPU is looked for, which forks of this process would not survive
        return torch.device("cpu")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("operation.device is 'cuda', but PyTorch finds no GPU here; use 'auto' or 'cpu'")
    if not available:
        return torch.device("cpu")
    if "LOCAL_RANK" not in os.environ:
        return torch.device("cuda")
    index, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= count:
        raise ConfigError(
            f"process {index + 1} of this machine finds {count} GPU(s), and each process needs its own; start at most "
            f"{count} of them (--nproc-per-node), or ask for more GPUs"
        )
    return torch.device("cuda", index)


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of the network's matrix products; `auto` is bfloat16 where the hardware multiplies in it."""
    if name == "auto":
        name = "bfloat16" if has_bfloat16_products(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def has_bfloat16_products(device: torch.device) -> bool:
    """Whether the device has bfloat16 matrix instructions, rather than an emulation that is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[Any]:
    """Matrix products in `precision`; everything else stays as it is."""
    # Threads would share the cache of cast weights, and sums over the levels would depend on who fills it.
    is_cached = device.type != "cpu"
    enabled = precision is torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=is_cached)


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU has been given to do, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled at its first call for arguments of these shapes."""
    return torch.compile(function, dynamic=False)


def keep_kernels(device: torch.device) -> None:
    """Have what is compiled for a GPU kept in the folder that MIPNERF_CACHE names, for the next job.

    The workflow names one below `data_root`; the variables of PyTorch and Triton come first. Their files are written
    atomically, so that jobs may start at once.
    """
    if device.type != "cuda" or not (folder := os.environ.get("MIPNERF_CACHE")):
        return
    for variable, name in (("TORCHINDUCTOR_CACHE_DIR", "inductor"), ("TRITON_CACHE_DIR", "triton")):
        os.environ.setdefault(variable, str(Path(folder, name)))


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that tensors can still take, those that PyTorch holds in reserve included."""
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + reserve


def describe_device(device: torch.device) -> str:
    """The name of the GPU, or the CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "CPU"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
