"""Layers point one way: Snakefile -> rules -> scripts -> library, and within the library from the top to the bottom."""

import ast
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
        "files",
        "threads",
        "signals",
        "fresh",
        "schedule",
        "metrics",
        "mip",
        "encoding",
        "nerf",
        "fused",
        "validation",
    ],
    ["planning.scheduling", "sections", "thirdparty", "report.names"],
    ["config", "console", "checkpoint", "history", "window", "perceptual"],
    [
        "runs",
        "events",
        "shards",
        "configfiles",
        "schema",
        "results",
        "devices",
        "provenance",
        "distributed",
        "workers",
        "datasets.raytrace",
        "datasets.archives",
        "datasets.checksums",
        "datasets.sources",
        "datasets.download",
        "datasets.layouts",
        "datasets.origins",
        "datasets.scene",
        "datasets.blender",
        "datasets.multiscale",
        "datasets.convert",
        "datasets.poses",
        "datasets.captures",
        "datasets.llff",
        "datasets.transforms",
        "datasets.colmapfiles",
        "datasets.colmap",
    ],
    ["records", "datasets.fetch", "datasets.obtain", "datasets.bricks", "datasets.load", "cameras", "views.movies"],
    ["model", "batching", "views.paths"],
    ["interop.parameters", "interop.flax", "interop.pytorch", "optimization", "rendering"],
    ["evaluation", "interop.importing"],
    ["validating"],
    ["training"],
    ["views.renderer"],
    ["views.frames", "views.mesh"],
    ["bench.operations", "bench.speed"],
    ["bench.products", "bench.parts", "bench.plan", "bench.scaling"],
    ["bench.report", "planning.costs"],
    ["planning.speed", "planning.report"],
    ["report.table", "report.frame", "report.reference", "status"],
    ["report.summary", "report.conditions", "report.formats", "report.progress"],
    ["report.verdict"],
    ["report.scenes"],
    ["report.paper"],
    ["report.figures", "report.tables", "report.plots", "report.strips"],
    ["report.comparisons", "report.pyramid", "report.depths"],
    ["report.output", "report.page.images", "report.page.runs"],
    ["report.page.sections"],
    ["report.page.build"],
    ["report.scaling", "inspection.cameras"],
    ["inspection.images"],
    ["inspection.checks", "inspection.frusta", "inspection.contact"],
    ["inspection.report"],
    ["views.commands"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
TORCH_FREE = [
    "config",
    "runs",
    "validation",
    "console",
    "errors",
    "files",
    "threads",
    "history",
    "events",
    "shards",
    "status",
    "cli",
    "views.commands",
    "thirdparty",
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
    return names & modules().keys()


def test_every_module_has_its_place():
    assert modules().keys() == RANK.keys()


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_downwards(name):
    above = {other for other in library_imports(modules()[name]) if RANK[other] > RANK[name]}
    assert not above


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


def test_importing_them_leaves_torch_out():
    """Each by itself, as if nothing of the library were loaded."""
    names = sorted((name for name in modules() if name.split(".")[0] in TORCH_FREE), key=RANK.get)
    result = subprocess.run([sys.executable, "-c", IMPORT_EACH, *names], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_mathematics_knows_no_configuration():
    for name in ("mip", "encoding", "nerf", "fused", "metrics", "schedule"):
        assert "config" not in library_imports(modules()[name])


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
