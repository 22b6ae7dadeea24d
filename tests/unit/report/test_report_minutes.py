"""The figure of trainings at equal time."""

import numpy as np
import pytest

from mipnerf.report.figures.kinds import DATASET_FIGURES, dataset_kinds
from mipnerf.report.figures.minutes import POINTS, minutes_frame, plot_minutes
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.frame import read_runs
from mipnerf.training.history import ValidationRow, write_validation


@pytest.fixture
def runs(make_run):
    """Two seeds of one variant, at different speeds, and one of another without validation."""
    folders = [make_run(), make_run(variant="mipnerf_seed1", seed=1), make_run(variant="mipnerf_wo_ipe")]
    for folder, speed, psnr in ((folders[0], 1.0, 20.0), (folders[1], 2.0, 22.0)):
        rows = [
            ValidationRow(step, 1, view, psnr + step + view, None, 60.0 * step / speed)
            for step in (2, 4, 6)
            for view in (0, 1)
        ]
        write_validation(folder / "validation.csv", rows)
    return read_runs(folders)


def test_runs_of_different_speed_meet_at_the_same_minutes(runs):
    frame = minutes_frame(runs[:2])
    assert len(frame) == 2 * POINTS
    # From the first validation of the slower to the last of the faster, in minutes.
    assert (frame["minutes"].min(), frame["minutes"].max()) == (2.0, 3.0)
    slow, fast = (part.set_index("minutes")["psnr"] for _, part in frame.groupby("run"))
    np.testing.assert_allclose(slow.iloc[[0, -1]], [22.5, 23.5])
    np.testing.assert_allclose(fast.iloc[[0, -1]], [26.5, 28.5])
    assert minutes_frame(runs[2:]).empty


def test_the_figure_has_means_and_bands(runs, tmp_path):
    figure = plot_minutes(runs)
    (axes,) = figure.axes
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_ydata()[[0, -1]], [24.5, 26.0])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(26.0 + 5 / 2 * np.sqrt(2))
    assert axes.get_ylabel() == "validation PSNR at 1/2 (dB)"
    paths = [tmp_path / f"{i}.svg" for i in range(2)]
    for path in paths:
        save_figure(plot_minutes(runs), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    words = DATASET_FIGURES["minutes"].draw(runs[2:], None)
    assert "no view was validated" in words.texts[0].get_text()


def test_it_is_drawn_where_trainings_have_minutes():
    runs = [("mipnerf", "bricks")]
    assert "minutes" in dataset_kinds("bricks", 4, runs, is_timed=True)
    assert "minutes" not in dataset_kinds("bricks", 4, runs)
