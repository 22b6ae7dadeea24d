"""Shared fixtures: golden arrays, the recorder of deviations from them, and the optional data that some tests need."""

import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# The same examples in every run: a failure must not come and go.
settings.register_profile("suite", max_examples=30, deadline=None, derandomize=True)
settings.register_profile("few", settings.get_profile("suite"), max_examples=5)
settings.load_profile("suite")

# What tests start hundreds of times is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Many small operations: more threads cost more than they bring, and one thread gives the same sums everywhere.
torch.set_num_threads(1)

# Triton reads it when it is imported, by PyTorch for one: its kernels are tested in its interpreter where no GPU is.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Ctrl-C is ignored by what is started in the background, and by all that it starts in turn; tests are about it.
signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"

# Optional data: fixture -> (environment variable, what it has to point to).
OPTIONAL = {
    "golden_dir": (
        "MIPNERF_GOLDEN_DIR",
        "the full folder of golden arrays and scenes (traj_small_200.npz, scenes/...)",
    ),
    "lego_archive": ("MIPNERF_LEGO_ARCHIVE", "an archive of the Blender lego scene"),
}

# Tests of programs that may be impossible to have here -> what it says if they are skipped.
MACHINERY = {
    "tests/browser/": "there is no Chromium",
    "tests/cluster/": "no Slurm cluster could be made",
    "tests/gpu/": "there is no GPU",
}

# Golden file -> its inputs, as patterns; the first file that matches counts. All other arrays are to be compared.
INPUTS = {
    "coord_contract": "x",
    "coord_track_linearize": "mean cov",
    "data_convert_to_ndc": "origins directions",
    "data_*": "*.yx train_flat.index",
    "eval_summary": "b?.alpha b?.beta b?.gamma",
    "math_lr": "steps steps_short",
    "math_scalar": "mse psnr avg_psnr avg_ssim avg_lpips lin",
    "math_sorted_pdf": "bins weights",
    "math_ssim": "*.img0 *.img1",
    "math_trig": "x",
    "mip_cast_rays": "t_vals origins directions radii",
    "mip_conical_frustum": "d t0 t1 base_radius",
    "mip_cylinder": "d t0 t1 radius",
    "mip_expected_sin": "x x_var",
    "mip_ipe": "x var_diag cov_full",
    "mip_lift_gaussian": "d t_mean t_var r_var",
    "mip_pos_enc": "x xbig",
    "mip_resample_along_rays": "t_vals weights origins directions radii",
    "mip_sample_along_rays": "origins directions radii near far",
    "mip_volumetric_rendering": "rgb density t_vals dirs",
    "model_small_*": "rays.* param.* pixels scale param_names",
    "traj_small_*": "param.* param_names",
    "traj_batches*": "*",
}

# Whoever uses one of these meets golden arrays, and is marked `golden`.
GOLDEN_FIXTURES = {"golden", "golden_case", "golden_dir", "golden_network", "compare"}


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


def is_input(name: str, array: str) -> bool:
    """Whether `array` of the golden file `name` was given to the reference, not computed by it."""
    patterns = next((inputs for file, inputs in INPUTS.items() if fnmatchcase(name.removeprefix("f64/"), file)), "")
    return any(fnmatchcase(array, pattern) for pattern in patterns.split())


@cache
def outputs_of(path: Path) -> set[str]:
    """The arrays of a golden file that are to be compared."""
    with np.load(path) as arrays:
        return {array for array in arrays.files if not is_input(path.stem, array)}


def golden_files() -> dict[str, Path]:
    """Every golden file at hand, by its name such as f64/mip_ipe: those of the tests and of MIPNERF_GOLDEN_DIR."""
    folders = [Path(folder) for folder in (os.environ.get(OPTIONAL["golden_dir"][0]), GOLDEN) if folder]
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*.npz"))
    }


@pytest.fixture(scope="session")
def golden_case():
    """A function: (name, dtype) -> (inputs as tensors of dtype, expected outputs)."""

    def case(name: str, dtype: torch.dtype = torch.float32):
        arrays = load_golden(name)
        tensors = {key: torch.from_numpy(arrays.pop(key)).to(dtype) for key in [*arrays] if is_input(name, key)}
        return tensors, load_golden(name, f64=True) if dtype == torch.float64 else arrays

    return case


@pytest.fixture(scope="session")
def golden_network():
    """A function: (arrays, prefix, dtype, **config) -> the small network, its parameters those named `prefix.*`."""
    from mipnerf.config import ModelConfig
    from mipnerf.interop import load_flax_params
    from mipnerf.network.model import MipNerf

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
            actual: tensor, array, number or text; a tensor must have the dtype of `expected`, a text must equal it.
            expected: array of the same shape.
            atol: a number, or an array to be broadcast against `expected`.
        """
        __tracebackhide__ = True
        expected = np.asarray(expected)
        if expected.dtype.kind == "U":
            assert np.asarray(actual).tolist() == expected.tolist(), name
            self.record(name, 0.0, 0.0)
            return
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

    def network(
        self,
        file: str,
        prefix: str,
        model: torch.nn.Module,
        value: Callable[[torch.nn.Parameter], torch.Tensor],
        arrays: dict[str, np.ndarray],
        tolerance: float,
        start: str = "",
    ) -> None:
        """Compare `value` of every parameter with the array `prefix.*` of its name, by the relative L2 norm.

        What it is relative to is the norm of the array, or of its way from the array `start.*`.
        """
        __tracebackhide__ = True

        for i, layer in enumerate(model.mlp.linear_layers()):
            for kind, parameter in (("kernel", layer.weight), ("bias", layer.bias)):
                array = f"MLP_0.Dense_{i}.{kind}"
                actual, expected = value(parameter).detach().cpu().numpy().T, arrays[f"{prefix}.{array}"]
                assert actual.dtype == expected.dtype, f"{file}/{prefix}.{array}: {actual.dtype}"
                assert actual.shape == expected.shape, f"{file}/{prefix}.{array}: {actual.shape}"
                actual, expected = actual.astype(np.float64), expected.astype(np.float64)
                scale = np.linalg.norm(expected - arrays[f"{start}.{array}"] if start else expected)
                self(f"{file}/{prefix}.{array}", np.linalg.norm(actual - expected) / scale, 0.0, atol=tolerance)

    def record(self, name: str, absolute: float, of_tolerance: float) -> None:
        file, _, array = name.rpartition("/")
        entry = self.files.setdefault(file, Deviation())
        entry.arrays.add(array)
        entry.absolute = max(entry.absolute, float(absolute))
        if not entry.worst or of_tolerance > entry.of_tolerance:
            entry.of_tolerance, entry.worst = float(of_tolerance), array

    def add(self, file: str, arrays: set[str], absolute: float, of_tolerance: float, worst: str) -> None:
        """Take over what another recorder has of a golden file."""
        self.record(f"{file}/{worst}", absolute, of_tolerance)
        for array in arrays:
            self.record(f"{file}/{array}", 0.0, 0.0)

    def report(self, write: Callable[..., None], whole: bool) -> None:
        """Write a line per golden file: how many of its outputs were compared, and how far off the worst was.

        A `whole` run should have compared all files at hand, so the others are shown too.
        """
        outputs = {file: outputs_of(path) for file, path in golden_files().items()}
        files = {file: Deviation() for file, arrays in outputs.items() if arrays and whole} | self.files
        write(f"{'file':<32}{'arrays':>8}{'of':>6}{'absolute':>11}{'of tolerance':>14}  worst array")
        compared = possible = 0
        for file, entry in sorted(files.items()):
            expected = outputs.get(file, entry.arrays)
            missing, unknown = sorted(expected - entry.arrays), sorted(entry.arrays - expected)
            compared, possible = compared + len(expected) - len(missing), possible + len(expected)
            write(
                f"{file:<32}{len(expected) - len(missing):>8}{len(expected):>6}"
                f"{entry.absolute:>11.1e}{entry.of_tolerance:>14.1%}  {entry.worst}"
            )
            if missing:
                more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
                write(f"  not compared: {', '.join(missing[:4])}{more}", red=True)
            if unknown:
                write(f"  not in the file: {', '.join(unknown)}", red=True)
        write(f"{'total':<32}{compared:>8}{possible:>6}")


RECORDER = pytest.StashKey[Recorder]()
NEEDS = pytest.StashKey[dict[str, list[str]]]()


def is_whole(config) -> bool:
    """Whether everything is tested, as by `pytest` without a path."""
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config) -> None:
    """Test everything in three processes, one of which often waits for Slurm, but a part in one; `-n` says otherwise.

    What a debugger is to see is in one, too. A file's tests stay together: they share what is expensive to make.
    """
    option = config.option
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    if option.numprocesses is None and is_whole(config) and not (option.usepdb or option.trace):
        option.numprocesses = 3
    if option.numprocesses and option.dist == "no":
        option.dist, option.loadscopereorder = "loadfile", False


def pytest_configure(config) -> None:
    config.stash[RECORDER] = Recorder()


@pytest.fixture(scope="session")
def compare(pytestconfig) -> Recorder:
    """The recorder: compare("file/array", actual, expected, atol, rtol)."""
    return pytestconfig.stash[RECORDER]


def order_of(path: Path) -> int:
    """What takes longest comes first, so that processes end together; and what minds a busy machine, after Slurm."""
    folders = {"cluster": 0, "workflow": 1, "browser": 2, "faults": 2, "gpu": 2, "unit/training": 3}
    return next((order for folder, order in folders.items() if path.is_relative_to(folder)), 4)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if GOLDEN_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("golden")
    items.sort(key=lambda item: order_of(item.path.relative_to(Path(__file__).parent)))


def pytest_collection_finish(session) -> None:
    session.config.stash[NEEDS] = {
        fixture: [item.nodeid for item in session.items if fixture in item.fixturenames] for fixture in OPTIONAL
    }


def pytest_sessionfinish(session) -> None:
    """One process of several gives what it has for the summary to the one that writes it."""
    config = session.config
    if hasattr(config, "workeroutput"):
        deviations = {file: asdict(deviation) for file, deviation in config.stash[RECORDER].files.items()}
        config.workeroutput["summary"] = (deviations, config.stash.get(NEEDS, {}))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Take what one process of several has for the summary; one that crashed has nothing."""
    if summary := getattr(node, "workeroutput", {}).get("summary"):
        deviations, node.config.stash[NEEDS] = summary
        for file, deviation in deviations.items():
            node.config.stash[RECORDER].add(file, **deviation)


def pytest_terminal_summary(terminalreporter, config) -> None:
    recorder = config.stash[RECORDER]
    if recorder.files:
        terminalreporter.section("deviation from the JAX reference, per golden file")
        recorder.report(terminalreporter.line, is_whole(config))
    for folder, what in MACHINERY.items():
        skipped = [report for report in terminalreporter.stats.get("skipped", []) if folder in report.nodeid]
        if skipped:
            terminalreporter.section(f"NOT TESTED: {what}", red=True, bold=True)
            for reason in sorted({report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)}):
                terminalreporter.line(reason)
    for fixture, tests in config.stash.get(NEEDS, {}).items():
        variable, what = OPTIONAL[fixture]
        if tests and not os.environ.get(variable):
            terminalreporter.section(f"NOT TESTED: {variable} is not set", red=True, bold=True)
            terminalreporter.line(f"Set it to {what}. Did not run:")
            for test in tests:
                terminalreporter.line(f"  {test}")
