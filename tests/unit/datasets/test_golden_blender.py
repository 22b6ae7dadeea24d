"""The Blender loader, at full and half size, and its rays against arrays computed by the JAX reference."""

import numpy as np
import pytest
from scene_files import cast_rays

from mipnerf.config import DataConfig
from mipnerf.datasets.load import load_scene
from mipnerf.pixels import integer_tensor, to_rgb

VIEWS = [("train", 0), ("train", 5), ("test", 0), ("test", 1)]


@pytest.fixture(scope="module", params=[0, 2], ids=["factor0", "factor2"])
def loaded(request, golden_dir):
    """Name of the golden file, its arrays, and the scenes of both splits at that size."""
    data, folder = DataConfig(factor=request.param), golden_dir / "scenes" / "lego_tiny"
    file = f"data_blender_factor{request.param}"
    with np.load(golden_dir / f"{file}.npz") as arrays:
        return file, dict(arrays), {split: load_scene(folder, split, 1, data) for split in ("train", "test")}


@pytest.mark.parametrize(("split", "view"), VIEWS)
def test_rays_and_pixels(loaded, compare, split, view):
    file, arrays, scenes = loaded
    name, scene = f"{split}{view}", scenes[split]
    actual = cast_rays(scene, view, arrays[f"{name}.yx"])
    actual["pixels_black"] = cast_rays(scene, view, arrays[f"{name}.yx"], white_bkgd=False)["pixels"]
    for key, values in actual.items():
        compare(f"{file}/{name}.{key}", values, arrays[f"{name}.{key}"], atol=1e-6)
    image = to_rgb(integer_tensor(scene.images[view]), True, scene.max_value)
    compare(f"{file}/{name}.hw", image.shape[:2], arrays[f"{name}.hw"])
    compare(f"{file}/{name}.image_mean", image.double().mean((0, 1)), arrays[f"{name}.image_mean"], atol=1e-6)


@pytest.mark.parametrize("split", ["train", "test"])
def test_number_of_views_and_focal_length(loaded, compare, split):
    file, arrays, scenes = loaded
    compare(f"{file}/{split}.n_examples", scenes[split].num_views, arrays[f"{split}.n_examples"])
    compare(f"{file}/{split}.focal", 1 / scenes[split].pix2cams[0, 0, 0], arrays[f"{split}.focal"], rtol=1e-15)
