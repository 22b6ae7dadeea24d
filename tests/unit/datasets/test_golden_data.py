"""The multiscale dataset, its rays in float32 as the network gets them, against arrays of the JAX reference."""

import numpy as np
import pytest
from scene_files import cast_rays

from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.multiscale import load_scene

VIEWS = [("train", view) for view in (0, 1, 2, 3, 21)] + [("test", view) for view in (0, 1, 2, 3, 6, 7)]
ATOL = {"directions": 4e-7, "viewdirs": 3e-7, "radii": 1.5e-7, "pixels": 2e-7}


@pytest.fixture(scope="module")
def lego(golden_dir, tmp_path_factory):
    """The scenes of all splits."""
    folder = tmp_path_factory.mktemp("golden_data") / "lego_tiny"
    convert_to_multiscale(golden_dir / "scenes" / "lego_tiny", folder)
    return {split: load_scene(folder, split) for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def arrays(golden_dir):
    return dict(np.load(golden_dir / "data_multicam.npz"))


@pytest.mark.parametrize(("split", "view"), VIEWS)
def test_rays_and_colours_of_pixels(lego, arrays, compare, split, view):
    for name, values in cast_rays(lego[split], view, arrays[f"{split}{view}.yx"]).items():
        expected = arrays[f"{split}{view}.{name}"].astype(np.float32)
        compare(f"data_multicam/{split}{view}.{name}", values, expected, ATOL.get(name, 0.0))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_names_of_the_converted_images(golden_dir, lego, compare, split):
    with np.load(golden_dir / "data_multiscale_meta.npz") as expected:
        compare(f"data_multiscale_meta/{split}.file_path", lego[split].names, expected[f"{split}.file_path"])
