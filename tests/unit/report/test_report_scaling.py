"""The figure of speeds: its panels, curves, axes, and what it says of points that are left out."""

import math

import numpy as np
import pandas as pd
import pytest

from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.scaling import PANELS, PHASES, PRECISIONS, plot_scaling

VALUES = (64, 128, 256)


@pytest.fixture
def points() -> pd.DataFrame:
    """Three points of each curve; rays/s are 1e6 / value, twice that in bfloat16, and the last image is left out."""
    rows = []
    for varied in PANELS:
        for phase in PHASES:
            for precision in PRECISIONS:
                if (varied, phase) == ("image_size", "training"):
                    continue
                for value in VALUES:
                    rays_per_s = 1e6 / value * (2 if precision == "bfloat16" else 1)
                    row = (varied, value, phase, precision, value / 100, rays_per_s, "")
                    if varied == "image_size" and value == VALUES[-1]:
                        row = (varied, value, phase, precision, math.nan, math.nan, "over 20 s")
                    rows.append(row)
    return pd.DataFrame(rows, columns=["varied", "value", "phase", "precision", "seconds", "rays_per_s", "note"])


def test_every_panel_has_its_curves_on_logarithmic_axes(points):
    figure = plot_scaling(points, "a machine")
    assert [axes.get_ylabel() for axes in figure.axes] == ["rays/s"] * 3 + ["seconds an image"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 4, 4, 2]
    assert {axes.get_xscale() for axes in figure.axes} == {axes.get_yscale() for axes in figure.axes} == {"log"}
    for axes in figure.axes[:3]:
        drawn = {tuple(np.round(line.get_ydata(), 3)) for line in axes.lines}
        assert drawn == {tuple(np.round(factor * 1e6 / np.array(VALUES), 3)) for factor in (1, 2)}
    assert np.array_equal(figure.axes[3].lines[0].get_ydata(), [0.64, 1.28, math.nan], equal_nan=True)


def test_the_values_measured_are_the_ticks(points):
    axes = plot_scaling(points, "a machine").axes[3]
    assert axes.get_xticks().tolist() == list(VALUES)


def test_phases_and_precisions_can_be_told_apart_in_grey(points):
    lines = plot_scaling(points, "a machine").axes[0].lines
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 4


def test_the_title_names_the_machine_and_what_is_left_out(points):
    assert plot_scaling(points, "a machine").get_suptitle() == "a machine; 2 points left out: over 20 s"
    whole = points[points["seconds"].notna()]
    assert plot_scaling(whole, "a machine").get_suptitle() == "a machine"


@pytest.mark.slow
def test_the_same_points_give_the_same_bytes(points, tmp_path):
    paths = [[tmp_path / f"{i}.{ending}" for ending in ("svg", "png")] for i in range(2)]
    for svg, png in paths:
        save_figure(plot_scaling(points, "a machine"), svg, png)
    for first, second in zip(*paths, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 1000
