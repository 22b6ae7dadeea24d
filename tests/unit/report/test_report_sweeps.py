"""The table and the figure of a sweep, and which of its runs other figures show."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mipnerf.report.figures.kinds import DATASET_FIGURES, dataset_kinds
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.sweeps import plot_sweep
from mipnerf.report.frame import read_runs
from mipnerf.report.names import table_names, title_of
from mipnerf.report.reference import load_reference
from mipnerf.report.sweeps import best_of_sweeps, pictured_runs, sweep_frame
from mipnerf.report.tables.formats import latex_page, to_csv, to_markdown
from mipnerf.report.tables.paper import paper_tables
from mipnerf.report.tables.sweeps import sweep_results


@pytest.fixture
def reference(reference_folder):
    return load_reference(reference_folder)


@pytest.fixture
def runs(make_run):
    """2 x 3 combinations with two seeds each, and a variant that is not swept."""
    folders = [make_run(psnr=10.0)]
    for batch in (256, 512):
        for i, rate in enumerate((0.001, 0.002, 0.02)):
            for seed in (0, 1):
                name = f"mipnerf-batch_size={batch}-lr_init={rate}" + "_seed1" * seed
                folders.append(make_run(variant=name, psnr=20 + i + batch / 256 + 0.5 * seed, seed=seed))
    return read_runs(folders)


def test_a_sweep_has_a_row_for_each_combination(runs):
    table = sweep_results(runs, "bricks")
    frame = pd.read_csv(pd.io.common.StringIO(to_csv(table)))
    assert list(frame) == [
        "Variant", "batch_size", "lr_init", "Steps", "PSNR", "PSNR ±", "SSIM", "SSIM ±", "Minutes",
    ]  # fmt: skip
    assert list(frame["lr_init"]) == [0.001, 0.002, 0.02] * 2
    # 20 + i + batch / 256, 1.55 from levels and views, the half of 0.5 from the second seed.
    np.testing.assert_allclose(frame["PSNR"], [22.8, 23.8, 24.8, 23.8, 24.8, 25.8], atol=0.011)
    np.testing.assert_allclose(frame["PSNR ±"], 0.35, atol=0.005)
    assert set(frame["Minutes"]) == {62.1}
    assert "**25.80 ± 0.35**" in to_markdown(table)
    assert r"batch\_size" in latex_page([table])
    assert any("up to 2 seeds" in note for note in table.notes)


def test_tables_have_the_sweep_where_there_is_one(runs, reference):
    names = [table.name for table in paper_tables(runs, reference)]
    assert names == list(table_names("bricks", [run.variant for run in runs]))
    assert names == ["bricks", "bricks_scenes", "bricks_sweep"]
    assert [table.name for table in paper_tables(runs[:1], reference)] == ["bricks", "bricks_scenes"]


def test_the_figure_has_a_panel_for_each_key_and_a_line_for_each_other_value(runs, tmp_path):
    figure = plot_sweep(runs)
    batch, rate = figure.axes
    assert (batch.get_xlabel(), batch.get_xscale()) == ("batch_size", "linear")
    assert (rate.get_xlabel(), rate.get_xscale()) == ("lr_init", "log")
    assert batch.get_legend_handles_labels()[1] == ["lr_init=0.001", "lr_init=0.002", "lr_init=0.02"]
    line = next(line for line in rate.lines if line.get_label() == "batch_size=512")
    np.testing.assert_allclose(line.get_xdata(), [0.001, 0.002, 0.02])
    np.testing.assert_allclose(line.get_ydata(), [23.8, 24.8, 25.8])
    # The standard deviation of two numbers that are 0.5 apart.
    band = rate.collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(23.8 - 0.5 / np.sqrt(2))
    paths = [tmp_path / f"{i}.svg" for i in range(2)]
    for path in paths:
        save_figure(plot_sweep(runs), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_values_of_a_list_are_one_line_and_words_stand_in_their_order(make_run):
    names = ["mipnerf-ray_shape=cylinder-lr_init=0.001", "mipnerf-ray_shape=cone-lr_init=0.002"]
    shape, rate = plot_sweep(read_runs([make_run(variant=name) for name in names])).axes
    assert [tick.get_text() for tick in shape.get_xticklabels()] == ["cylinder", "cone"]
    assert shape.get_legend_handles_labels()[1] == ["changing with lr_init"]
    assert len(rate.lines) == 1


def test_of_many_lines_the_best_are_in_colour(make_run):
    names = [f"mine-net_width={i}-net_depth={j}" for i in range(1, 10) for j in (1, 2)]
    runs = read_runs([make_run(variant=name, psnr=20.0 + i) for i, name in enumerate(names)])
    _, depth = plot_sweep(runs).axes
    labels = depth.get_legend_handles_labels()[1]
    assert labels == [*(f"net_width={i}" for i in range(4, 10)), "3 others"]
    assert sum(to_hex(line.get_color()) == "#bfbfbf" for line in depth.lines) == 4


def test_other_figures_show_the_best_of_a_sweep(runs, reference):
    best = [run.variant for run in best_of_sweeps(runs)]
    assert best == [
        "mipnerf",
        *(f"mipnerf-batch_size=256-lr_init=0.02{seed}" for seed in ("", "_seed1")),
        *(f"mipnerf-batch_size=512-lr_init=0.002{seed}" for seed in ("", "_seed1")),
        *(f"mipnerf-batch_size=512-lr_init=0.02{seed}" for seed in ("", "_seed1")),
    ]
    assert [run.variant for run in pictured_runs(runs)] == best[:1] + best[1::2]
    assert best_of_sweeps(runs, most=6) == runs
    assert len(sweep_frame(runs)) == 12
    drawn = DATASET_FIGURES["levels"].draw(runs, reference)
    assert len(drawn.legends[0].get_texts()) == 4


def test_the_figure_is_asked_for_where_something_is_swept():
    assert "sweep" in dataset_kinds("bricks", 4, [("mipnerf-lr_init=1", "bricks")])
    assert "sweep" not in dataset_kinds("bricks", 4, [("mipnerf_seed1", "bricks")])
    assert title_of("mipnerf-lr_init=1e-06-near=null_seed2") == "mip-NeRF, lr_init=1e-06, near=null, seed 2"
