"""What `import mipnerf` offers, as its docstring says, and the frames of the results."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from unit.report.conftest import make_run  # noqa: F401, a fixture

import mipnerf
import mipnerf.report
from mipnerf.config import OperationConfig
from mipnerf.errors import DataError
from mipnerf.report.frame import COLUMNS
from mipnerf.training import train
from mipnerf.training.history import ValidationRow, write_validation

NOTEBOOK = Path(__file__).parents[2] / "docs" / "results.ipynb"


def test_a_trained_run_is_loaded_and_rendered_by_these_names(tmp_path, small_run, small_scene):
    train(small_run, OperationConfig(device="cpu"), small_scene, tmp_path, threads=1)
    trained = mipnerf.load_trained(tmp_path / "model.pt", torch.device("cpu"))
    cameras = mipnerf.Cameras.from_scene(small_scene, "cpu", trained.run.data)
    picture = mipnerf.render_image(trained.model, cameras, 0, 8, 8, white_bkgd=True)
    assert isinstance(trained.model, mipnerf.MipNerf)
    assert picture.rgb.shape == (8, 8, 3)
    assert mipnerf.mse_to_psnr(torch.tensor(0.01)).item() == pytest.approx(20)


def test_every_name_is_there_and_another_is_an_error():
    assert all(getattr(mipnerf, name) for name in mipnerf.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nerfies'"):
        mipnerf.nerfies  # noqa: B018


def test_importing_it_alone_loads_no_torch():
    code = "import sys, mipnerf; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def results(make_run):  # noqa: F811
    """The folder of three runs, one of them a further seed."""
    make_run(lpips=0.2)
    make_run(variant="mipnerf_seed3", seed=3, psnr=30.5)
    folder = make_run(variant="mipnerf_wo_ipe", psnr=28.0)
    write_validation(folder / "validation.csv", [ValidationRow(100, 3, 0, 20.0, None, 1.5)])
    return folder.parents[2]


def read_exactly(path):
    return pd.read_csv(path, float_precision="round_trip")


def test_the_frame_of_views_is_what_the_files_say(results):
    views = mipnerf.report.load(results)
    files = pd.concat(map(read_exactly, sorted(results.glob("*/*/*/metrics.csv"))), ignore_index=True)
    # Older releases of pandas have words as objects, and others as categories.
    pd.testing.assert_frame_equal(views[COLUMNS], files[COLUMNS], check_exact=True, check_dtype=False)
    seeds = views.groupby("variant")[["method", "seed"]].first()
    assert seeds.loc["mipnerf_seed3"].tolist() == ["mipnerf", 3]


def test_other_frames_are_curves_and_settings(results):
    training = mipnerf.report.load(results, "training")
    assert len(training) == 3 * 40
    assert training["seconds"].max() == pytest.approx(2800)
    validation = mipnerf.report.load(results, "validation")
    assert validation[["variant", "step", "psnr"]].to_numpy().tolist() == [["mipnerf_wo_ipe", 100, 20.0]]
    runs = mipnerf.report.load(results, "runs").set_index("variant")
    assert runs.at["mipnerf", "train.max_steps"] == 1000
    assert runs.at["mipnerf", "training time"] == "1:02:05"


def test_what_cannot_be_loaded_is_said(results, tmp_path):
    with pytest.raises(DataError, match="holds no evaluated run"):
        mipnerf.report.load(tmp_path / "nothing")
    with pytest.raises(DataError, match="there are views, training, validation, runs"):
        mipnerf.report.load(results, "images")


def test_the_notebook_runs_from_its_first_to_its_last_cell(results):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    command = [sys.executable, "-c", f"import matplotlib; matplotlib.use('agg')\n{code}\nprint(means.round(2))"]
    printed = subprocess.run(command, cwd=results.parent, capture_output=True, text=True, check=True).stdout
    assert "30.05" in printed  # the mean of 30.0 and 30.1
