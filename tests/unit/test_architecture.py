"""Layers point one way: Snakefile -> rules -> scripts -> library, and within the library from the top to the bottom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "mipnerf"

# A module may import from lines above its own, and from its own line what is not circular.
LAYERS = [
    [
        "errors",
        "faces",
        "files",
        "threads",
        "signals",
        "training.fresh",
        "training.schedule",
        "evaluation.metrics",
        "network.mip",
        "network.encoding",
        "network.nerf",
        "network.contraction",
        "network.folded",
        "network.pruning",
        "config.validation",
        "config.layouts",
    ],
    ["planning.scheduling", "config.sections", "config.sweeps", "thirdparty", "report.names", "report.rows"],
    [
        "config.model",
        "config.parameters",
        "console",
        "training.budget",
        "training.checkpoint",
        "training.history",
        "training.window",
        "training.capture",
        "network.storage",
        "network.kernels",
        "network.packing",
        "evaluation.perceptual",
    ],
    [
        "network.fused",
        "config.runs",
        "training.claims",
        "training.events",
        "evaluation.shards",
        "config.files",
        "config.schema",
        "training.results",
        "devices",
        "training.provenance",
        "training.distributed",
        "training.forks",
        "workers",
        "training.adam",
        "training.muon",
        "datasets.raytrace",
        "datasets.fetching.archives",
        "datasets.fetching.checksums",
        "datasets.fetching.sources",
        "datasets.fetching.download",
        "datasets.layouts",
        "datasets.fetching.origins",
        "datasets.lens",
        "datasets.scene",
        "datasets.signatures",
        "datasets.images",
        "datasets.blender",
        "datasets.multiscale",
        "datasets.convert",
        "datasets.captures.poses",
        "datasets.captures.lenses",
        "datasets.captures.masks",
        "datasets.captures.conventions",
        "datasets.captures.pyramids",
        "datasets.captures.reduced",
        "datasets.captures.sizes",
        "datasets.captures.photographs",
        "datasets.llff",
        "datasets.captures.transforms",
        "datasets.captures.colmapfiles",
        "datasets.captures.colmapmodels",
        "datasets.captures.colmap",
        "datasets.captures.frames",
        "datasets.captures.pictures",
        "datasets.captures.structure",
        "datasets.captures.photos",
    ],
    [
        "evaluation.records",
        "datasets.fetching.fetch",
        "datasets.fetching.obtain",
        "datasets.bricks",
        "datasets.load",
        "datasets.made_up",
        "cameras",
        "pixels",
        "views.movies",
    ],
    ["network.model", "training.batching", "views.paths"],
    [
        "network.choice",
        "interop.parameters",
        "interop.flax",
        "interop.pytorch",
        "training.averaging",
        "training.optimization",
        "network.rendering",
    ],
    ["evaluation.views", "interop.importing"],
    ["training.validating"],
    ["training.stepping"],
    ["training.preparing", "training.loop"],
    ["views.renderer"],
    ["views.frames", "views.mesh"],
    ["views.orbits"],
    ["bench.operations", "bench.speed"],
    ["bench.products", "bench.parts", "bench.plan", "bench.scaling", "bench.bandwidth", "bench.checks"],
    ["bench.report", "planning.costs"],
    ["bench.check"],
    ["planning.speed", "planning.report"],
    ["report.tables.table", "report.frame", "report.reference", "training.status"],
    ["report.summary", "report.conditions", "report.tables.formats", "report.progress"],
    ["report.tables.verdict", "report.sweeps", "report.notebook"],
    ["report.tables.scenes", "report.tables.sweeps"],
    ["report.tables.paper"],
    ["report.figures.kinds", "report.tables.short", "report.figures.plots", "report.figures.strips"],
    [
        "report.figures.comparisons",
        "report.figures.pyramid",
        "report.figures.depths",
        "report.figures.sweeps",
        "report.figures.minutes",
        "report.figures.printing",
    ],
    ["report.page.budget", "report.page.embedded"],
    ["report.tables.output", "report.page.images", "report.page.runs"],
    ["report.page.trainings"],
    ["report.page.data", "report.page.films", "report.page.orbits"],
    ["report.page.sections", "report.page.media", "report.page.template"],
    ["report.page.build"],
    ["report.page.partial"],
    ["report.figures.scaling", "inspection.cameras"],
    ["inspection.silhouettes"],
    ["inspection.images"],
    ["inspection.mistakes"],
    ["inspection.checks", "inspection.frusta", "inspection.contact"],
    ["inspection.report", "inspection.found"],
    ["views.commands"],
    ["cli"],
    ["__main__"],
]
# Whoever imports from a room itself gets what is there.
FACES = {"config": "config.parameters", "network": "network.model", "training": "training.loop"}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Modules, and rooms with all that is in them.
TORCH_FREE = [
    "config",
    "console",
    "errors",
    "faces",
    "files",
    "threads",
    "thirdparty",
    "training.history",
    "training.events",
    "training.status",
    "training.fresh",
    "evaluation.shards",
    "cli",
    "views.commands",
    "views.movies",
    "datasets",
    "report",
    "inspection",
]


def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name below `mipnerf`."""
    paths = [path for path in LIBRARY.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(LIBRARY).with_suffix("").parts): path for path in paths}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def library_imports(path: Path) -> set[str]:
    names = {name.removeprefix("mipnerf.") for name in imports(path) if name.startswith("mipnerf.")}
    known = names & modules().keys()
    faces = {face for face in names & FACES.keys() if not any(name.startswith(f"{face}.") for name in known)}
    return known | {FACES[face] for face in faces}


def test_every_module_has_its_place():
    assert modules().keys() == RANK.keys()


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_downwards(name):
    above = {other for other in library_imports(modules()[name]) if RANK[other] > RANK[name]}
    assert not above


@pytest.mark.slow
def test_the_picture_of_the_rooms_is_that_of_the_imports():
    """That of CONTRIBUTING.md: from each line, imports go to lines below it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (drawn,) = (block for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL) if "↓" in block)
    lines = [line.split() for line in drawn.splitlines() if "↓" not in line]
    line_of = {room: i for i, rooms in enumerate(lines) for room in rooms}
    rooms = {name: name.split(".")[0] for name in modules() if name != "__main__"}
    assert line_of.keys() == set(rooms.values())
    for name, room in rooms.items():
        for other in {rooms[name] for name in library_imports(modules()[name])} - {room}:
            is_shared = line_of[room] == line_of[other] == len(lines) - 1
            assert line_of[other] > line_of[room] or is_shared, f"{name} imports from {other}"


def test_the_library_has_never_heard_of_snakemake():
    for path in LIBRARY.rglob("*.py"):
        assert not any(name.split(".")[0] == "snakemake" for name in imports(path)), path


IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [module for module in sys.modules if module.split(".")[0] == "mipnerf"]:
        del sys.modules[loaded]
    importlib.import_module(f"mipnerf.{name}")
    if "torch" in sys.modules:
        sys.exit(f"mipnerf.{name} imports torch")
"""


@pytest.mark.slow
def test_importing_them_leaves_torch_out():
    """Each by itself, as if nothing of the library were loaded."""
    names = sorted(
        (name for name in modules() if f"{name}.".startswith(tuple(f"{free}." for free in TORCH_FREE))), key=RANK.get
    )
    result = subprocess.run([sys.executable, "-c", IMPORT_EACH, *names], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_mathematics_knows_no_configuration():
    for name in (
        "network.mip",
        "network.encoding",
        "network.nerf",
        "network.folded",
        "network.pruning",
        "evaluation.metrics",
        "training.schedule",
    ):
        assert not any(other.startswith("config.") for other in library_imports(modules()[name]))


def test_rules_hold_no_logic():
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        assert "torch" not in text, path
        if path.name != "common.smk":
            assert "\nimport " not in text
            assert "\ndef " not in text
            assert "run:" not in text
    assert "rule " not in (ROOT / "rules" / "common.smk").read_text().replace("rules", "")


def test_scripts_are_thin():
    for path in (ROOT / "workflow_scripts").glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len(lines) <= 50, path
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        assert [function.name for function in functions] == ["main"], path


HELP_OF_EACH = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert not end.code, path
"""


@pytest.mark.slow
def test_every_script_explains_itself():
    paths = sorted((ROOT / "workflow_scripts").glob("*.py"))
    result = subprocess.run([sys.executable, "-c", HELP_OF_EACH, *paths], capture_output=True, text=True, check=True)
    texts = result.stdout.split("usage: ")[1:]
    assert len(texts) == len(paths)
    for path, text in zip(paths, texts, strict=True):
        assert text.startswith(path.name)
        assert ast.get_docstring(ast.parse(path.read_text())).split()[0] in text


def test_no_file_outgrows_a_reader():
    for path in LIBRARY.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
