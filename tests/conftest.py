"""Shared fixtures: golden arrays, the recorder of deviations from them, and the optional data that some tests need."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# The same examples in every run: a failure must not come and go.
settings.register_profile("suite", max_examples=30, deadline=None, derandomize=True)
settings.load_profile("suite")

# Many small operations: more threads cost more than they bring, and one thread gives the same sums everywhere.
torch.set_num_threads(1)

GOLDEN = Path(__file__).parent / "golden"

# Optional data: fixture -> (environment variable, what it has to point to).
OPTIONAL = {
    "golden_dir": (
        "MIPNERF_GOLDEN_DIR",
        "the full folder of golden arrays and scenes (traj_small_200.npz, scenes/...)",
    ),
    "lego_archive": ("MIPNERF_LEGO_ARCHIVE", "an archive of the Blender lego scene"),
}


def optional_path(fixture: str) -> Path:
    """The path that the fixture's environment variable names; skips if it is unset, fails if it is set and wrong."""
    variable, what = OPTIONAL[fixture]
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: {what} is missing")
    path = Path(value)
    if not path.exists():
        pytest.fail(f"{variable}={value} does not exist; it must point to {what}")
    return path


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder with everything that the JAX reference computed, from MIPNERF_GOLDEN_DIR."""
    return optional_path("golden_dir")


@pytest.fixture(scope="session")
def lego_archive() -> Path:
    """Archive of the lego scene, from MIPNERF_LEGO_ARCHIVE."""
    return optional_path("lego_archive")


def load_golden(name: str, f64: bool = False) -> dict[str, np.ndarray]:
    """All arrays of tests/golden/<name>.npz, or of its double-precision companion, which holds outputs only."""
    with np.load(GOLDEN / ("f64" if f64 else "") / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden():
    """A function: name[, f64] -> the arrays of that golden file."""
    return load_golden


@pytest.fixture(scope="session")
def golden_case():
    """A function: (name, names of the inputs, dtype) -> (inputs as tensors of dtype, expected outputs)."""

    def case(name: str, inputs: str, dtype: torch.dtype = torch.float32):
        arrays = load_golden(name)
        tensors = {key: torch.from_numpy(arrays.pop(key)).to(dtype) for key in inputs.split()}
        return tensors, load_golden(name, f64=True) if dtype == torch.float64 else arrays

    return case


@pytest.fixture(scope="session")
def golden_network():
    """A function: (arrays, prefix, dtype, **config) -> the small network, its parameters those named `prefix.*`."""
    from mipnerf.config import ModelConfig
    from mipnerf.interop import load_flax_params
    from mipnerf.model import MipNerf

    def network(arrays: dict[str, np.ndarray], prefix: str, dtype: torch.dtype = torch.float32, **config) -> MipNerf:
        model = MipNerf(ModelConfig(**{"net_depth": 4, "net_width": 64, "num_samples": 32} | config)).to(dtype)
        start = f"{prefix}."
        params = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
        load_flax_params(model, {key.replace(".", "/"): array for key, array in params.items()})
        return model

    return network


@dataclass
class Deviation:
    """What was compared with one golden file, and how far off the worst of it was."""

    arrays: set[str] = field(default_factory=set)
    absolute: float = 0.0
    of_tolerance: float = 0.0
    worst: str = ""


class Recorder:
    """Compares arrays with golden ones and remembers the largest deviation per golden file."""

    def __init__(self) -> None:
        self.files: dict[str, Deviation] = {}

    def __call__(self, name: str, actual, expected, atol=0.0, rtol: float = 0.0) -> None:
        """Fail unless |actual - expected| <= atol + rtol |expected| everywhere; a NaN must meet a NaN.

        Args:
            name: "file/array"; the file is what the summary is grouped by.
            actual: tensor, array or number; a tensor must have the dtype of `expected`.
            expected: array of the same shape.
            atol: a number, or an array to be broadcast against `expected`.
        """
        __tracebackhide__ = True
        expected = np.asarray(expected)
        if isinstance(actual, torch.Tensor):
            actual = actual.detach().cpu().numpy()
            assert actual.dtype == expected.dtype, f"{name}: {actual.dtype}, expected {expected.dtype}"
        actual = np.asarray(actual, dtype=np.float64)
        expected = expected.astype(np.float64)
        assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}"
        assert np.array_equal(np.isfinite(actual), np.isfinite(expected)), f"{name}: not finite at other places"
        finite = np.isfinite(expected)
        deviation = np.abs(actual[finite] - expected[finite])
        tolerance = np.broadcast_to(atol, expected.shape)[finite] + rtol * np.abs(expected[finite])
        ratio = deviation / np.maximum(tolerance, np.finfo(np.float64).tiny)
        self.record(name, deviation.max(initial=0.0), ratio.max(initial=0.0))
        worst = ratio.argmax() if ratio.size else 0
        assert ratio.max(initial=0.0) <= 1, (
            f"{name}: {(ratio > 1).sum()} of {ratio.size} elements deviate; the worst by {deviation[worst]:.3g} "
            f"from {expected[finite][worst]:.7g}, {ratio[worst]:.2f} times the tolerance"
        )

    def all(self, file: str, actual: dict, expected: dict, atol=0.0, rtol: float = 0.0) -> None:
        """Compare every array of a golden file: none may be missing in `actual`, none may be unknown."""
        __tracebackhide__ = True
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            self(f"{file}/{key}", actual[key], value, atol, rtol)

    def record(self, name: str, absolute: float, of_tolerance: float) -> None:
        file, _, array = name.rpartition("/")
        entry = self.files.setdefault(file, Deviation())
        entry.arrays.add(array)
        entry.absolute = max(entry.absolute, float(absolute))
        if not entry.worst or of_tolerance > entry.of_tolerance:
            entry.of_tolerance, entry.worst = float(of_tolerance), array


RECORDER = pytest.StashKey[Recorder]()
NEEDS = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config) -> None:
    config.stash[RECORDER] = Recorder()


@pytest.fixture(scope="session")
def compare(pytestconfig) -> Recorder:
    """The recorder: compare("file/array", actual, expected, atol, rtol)."""
    return pytestconfig.stash[RECORDER]


def pytest_collection_finish(session) -> None:
    session.config.stash[NEEDS] = {
        fixture: [item.nodeid for item in session.items if fixture in item.fixturenames] for fixture in OPTIONAL
    }


def pytest_terminal_summary(terminalreporter, config) -> None:
    files = config.stash[RECORDER].files
    if files:
        terminalreporter.section("deviation from the JAX reference, per golden file")
        terminalreporter.line(f"{'file':<36}{'arrays':>7}{'absolute':>11}{'of tolerance':>14}  worst array")
        for file, entry in sorted(files.items()):
            terminalreporter.line(
                f"{file:<36}{len(entry.arrays):>7}{entry.absolute:>11.1e}{entry.of_tolerance:>14.1%}  {entry.worst}"
            )
        terminalreporter.line(f"{'total':<36}{sum(len(entry.arrays) for entry in files.values()):>7}")
    for fixture, tests in config.stash.get(NEEDS, {}).items():
        variable, what = OPTIONAL[fixture]
        if tests and not os.environ.get(variable):
            terminalreporter.section(f"NOT TESTED: {variable} is not set", red=True, bold=True)
            terminalreporter.line(f"Set it to {what}. Did not run:")
            for test in tests:
                terminalreporter.line(f"  {test}")
