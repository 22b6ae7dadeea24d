"""What `import mipnerf` offers, as its docstring says."""

import subprocess
import sys

import pytest
import torch

import mipnerf
from mipnerf.config import OperationConfig
from mipnerf.training import train


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
