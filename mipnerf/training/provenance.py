"""What a training was made by: software, machine, every start of it, and the energy that it took."""

import os
import platform
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from mipnerf import __version__
from mipnerf.devices import describe_device
from mipnerf.files import parse_yaml, write_text

GIT_SECONDS = 10
POWERCAP = Path("/sys/class/powercap")
DRIVER = Path("/proc/driver/nvidia/version")


def describe_software(device: torch.device) -> dict[str, str | None]:
    """Versions of all that computes; None where there is none."""
    is_gpu = device.type == "cuda"
    return {
        "package_version": __version__,
        "git": git_state(Path(__file__).parents[2]),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if is_gpu else None,
        "cudnn": str(torch.backends.cudnn.version()) if is_gpu else None,
        "driver": driver_version() if is_gpu else None,
        "system": platform.platform(),
    }


def describe_machine(device: torch.device) -> dict[str, str | int | None]:
    """Where this process computes."""
    return {
        "host": socket.gethostname(),
        "job": os.environ.get("SLURM_JOB_ID"),
        "device": describe_device(device),
        "cpu": describe_device(torch.device("cpu")),
    }


def git_state(root: Path) -> str | None:
    """The commit of a checkout, with `, changed` where files differ from it; None where `root` is none, or no Git."""
    if not (root / ".git").exists():
        return None
    # Thousands of jobs may ask at once, and must not wait for one another's lock.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True, env=environment
        )
        return result.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (", changed" if changed else "")
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError):
        return None


def driver_version(path: Path = DRIVER) -> str | None:
    """The version of NVIDIA's driver as the kernel tells it."""
    try:
        match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)*)\s", path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return match[1] if match else None


class EnergyMeter:
    """Joules since it was made: of all CPU packages (RAPL), other processes there included, and of one GPU (NVML).

    Counters that are missing, or that this user may not read, give None. Those of the CPUs begin anew after some
    minutes or hours, so `joules` has to be called now and then.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP):
        # Package by package, also AMD's; the zone `psys` of laptops holds them all, `intel-rapl:0:1` a part of one.
        self._zones = [path.parent for path in powercap.glob("intel-rapl:*/name") if _is_package(path)]
        self._gpu = _gpu_counter(device)
        self._cpu_joules = 0.0
        self._last = self._read_zones()
        self._gpu_start = self._gpu() if self._gpu else None

    def joules(self) -> dict[str, float | None]:
        """`cpu_joules` and `gpu_joules` so far."""
        now = self._read_zones()
        if now is None or self._last is None:
            self._last = None
        else:
            pairs = zip(now, self._last, strict=True)
            self._cpu_joules += sum((energy - last) % span for (energy, span), (last, _) in pairs) / 1e6
            self._last = now
        gpu = self._gpu() if self._gpu else None
        return {
            "cpu_joules": None if self._last is None else round(self._cpu_joules, 1),
            "gpu_joules": None if gpu is None or self._gpu_start is None else round((gpu - self._gpu_start) / 1e3, 1),
        }

    def _read_zones(self) -> list[tuple[int, int]] | None:
        """Microjoules of each package, and where they begin anew."""
        try:
            values = [
                (int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text()))
                for zone in self._zones
            ]
        except (OSError, ValueError):
            return None
        return values if values and all(span > 0 for _, span in values) else None


def _is_package(name: Path) -> bool:
    try:
        return name.read_text(encoding="utf-8").startswith("package")
    except (OSError, UnicodeDecodeError):
        return False


def _gpu_counter(device: torch.device) -> Callable[[], int | None] | None:
    """A function that reads a GPU's millijoules since the driver was loaded; None without the package nvidia-ml-py."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (pynvml.NVMLError, AttributeError):
        return None

    def read() -> int | None:
        try:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError:
            return None

    return read


class Journal:
    """The starts of a training, one entry each, in a file that outlives its processes."""

    def __init__(self, path: Path, step: int, device: torch.device, **facts: Any):
        self.path = path
        self.meter = EnergyMeter(device)
        self.before = read_starts(path)
        self.entry = {
            "from_step": step,
            "to_step": step,
            **describe_machine(device),
            **describe_software(device),
            **facts,
        }

    def note(self, step: int) -> None:
        """Write down that `step` is saved."""
        self.entry |= {"to_step": step, **self.meter.joules()}
        write_text(self.path, yaml.safe_dump([*self.before, self.entry], sort_keys=False))


def read_starts(path: Path) -> list[dict[str, Any]]:
    """What journals have written to `path`; empty for a training of which nothing is known."""
    try:
        starts = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []
