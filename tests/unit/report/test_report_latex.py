"""What is for papers: a real LaTeX reads the tables and takes the figures as wide as they are."""

import re
import shutil
import subprocess

import pytest

from mipnerf.report.figures.kinds import DATASET_FIGURES, PRINT_WIDTHS
from mipnerf.report.figures.printing import save_for_print
from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference
from mipnerf.report.tables.output import write_tables

KINDS = ("levels", "deltas", "cost", "history")
DOCUMENT = r"""\documentclass[twocolumn]{article}
\usepackage[paperwidth=8.5in,left=0.8125in,textwidth=6.875in,textheight=9in,columnsep=0.375in]{geometry}
\usepackage{adjustbox,booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.fixture
def runs(make_run):
    """Three variants on three scenes, two of them with two seeds."""
    return read_runs(
        make_run("multiscale_blender", variant, scene, psnr=psnr, lpips=0.1, seed=seed)
        for variant, psnr, seed in (
            ("mipnerf", 33.0, 0),
            ("mipnerf_seed1", 33.2, 1),
            ("mipnerf_wo_ipe", 31.0, 0),
            ("mipnerf_wo_ipe_seed1", 31.1, 1),
            ("nerf", 29.0, 0),
        )
        for scene in ("lego", "ship", "chair")
    )


@pytest.fixture
def figures(runs, reference_folder, tmp_path):
    """Every kind of figure in both widths."""
    paths = {}
    for kind in KINDS:
        for width in PRINT_WIDTHS:
            figure = DATASET_FIGURES[kind].draw(runs, load_reference(reference_folder))
            save_for_print(figure, path := tmp_path / f"{kind}_{width}.pdf", width)
            paths[kind, width] = path
    return paths


def test_figures_are_as_wide_as_the_paper_and_have_their_fonts(figures):
    for (_, width), path in figures.items():
        content = path.read_bytes()
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
        assert float(box[1]) == pytest.approx(72 * PRINT_WIDTHS[width], abs=0.01)
        assert float(box[2]) < 72 * 9  # on a page
        assert b"/FontFile2" in content
        assert b"/Type3" not in content


def test_the_same_runs_give_the_same_pdf(runs, reference_folder, tmp_path):
    paths = tmp_path / "once.pdf", tmp_path / "again.pdf"
    for path in paths:
        save_for_print(DATASET_FIGURES["levels"].draw(runs, load_reference(reference_folder)), path, "column")
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.slow
def test_latex_reads_every_table_and_every_figure(runs, figures, reference_folder, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed, which Debian's texlive-latex-extra has")
    write_tables(tmp_path / "out", runs, load_reference(reference_folder))
    tables = sorted((tmp_path / "out").rglob("*.tex"))
    assert {"table", "table1", "table3", "multiscale_blender_scenes"} <= {path.stem for path in tables}
    parts = [rf"\input{{{path.relative_to(tmp_path)}}}\clearpage" for path in tables]
    for (kind, width), path in figures.items():
        star = "*" if width == "page" else ""
        parts.append(
            rf"\begin{{figure{star}}}\includegraphics{{{path.name}}}\caption{{{kind}}}\end{{figure{star}}}\clearpage"
        )
    (tmp_path / "paper.tex").write_text(DOCUMENT % "\n".join(parts), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert result.returncode == 0, result.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    # What is wider than its column would be said here; a hundredth of a point is rounding.
    over = [float(size) for size in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", result.stdout)]
    assert all(size < 0.5 for size in over), over
