import zipfile

import numpy as np
import pytest
from scene_files import cast_rays, write_llff_scene, write_scene

from mipnerf.config import DataConfig
from mipnerf.datasets import blender, llff, multiscale
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError

DATA = DataConfig()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One scene of each layout; to be left as they are."""
    top = tmp_path_factory.mktemp("load")
    write_scene(top / "blender", {"train": 5, "val": 1, "test": 3}, width=16, height=8)
    convert_to_multiscale(top / "blender", top / "multiscale", num_levels=3)
    write_llff_scene(top / "llff", width=16, height=8)
    return top


def test_the_layout_is_recognised(folders):
    expected = {
        "blender": blender.load_scene(folders / "blender", "test"),
        "multiscale": multiscale.load_scene(folders / "multiscale", "test"),
        "llff": llff.load_scene(folders / "llff", "test", DATA, num_levels=3),
    }
    for layout, scene in expected.items():
        num_levels = 1 if layout == "blender" else 3
        assert load_scene(folders / layout, "test", num_levels, DATA).fingerprint() == scene.fingerprint()


def test_a_folder_without_a_scene_is_named_with_what_makes_one(tmp_path):
    with pytest.raises(DataError, match=r"holds no scene: expected metadata\.json .*poses_bounds\.npy \(LLFF\)"):
        load_scene(tmp_path, "train", 1, DATA)


@pytest.mark.parametrize(("num_levels", "level"), [(4, None), (4, 1), (1, 1)])
def test_a_blender_scene_has_one_level(folders, num_levels, level):
    with pytest.raises(ConfigError, match="blender is a Blender scene, which has level 0 only"):
        load_scene(folders / "blender", "train", num_levels, DATA, level=level)
    assert load_scene(folders / "blender", "train", 1, DATA, level=0).num_views == 5


@pytest.mark.parametrize("layout", ["multiscale", "llff"])
def test_training_levels_are_the_finest(folders, layout):
    data = DataConfig(train_levels=2)
    train, test = (load_scene(folders / layout, split, 3, data) for split in ("train", "test"))
    assert set(train.levels) == {0, 1}
    assert set(test.levels) == {0, 1, 2}
    whole = load_scene(folders / layout, "train", 3, DATA)
    assert train.fingerprint() == whole.select(whole.levels < 2).fingerprint()
    assert set(load_scene(folders / layout, "train", 3, data, level=2).levels) == {2}


@pytest.mark.parametrize("layout", ["blender", "multiscale", "llff"])
def test_a_factor_makes_exact_means(folders, layout):
    num_levels = 1 if layout == "blender" else 2
    full = load_scene(folders / layout, "test", num_levels, DATA, view=1, level=0)
    half = load_scene(folders / layout, "test", num_levels, DataConfig(factor=2), view=1, level=0)
    assert (half.heights[0], half.widths[0], half.max_value) == (4, 8, 255 * 4)
    fine, coarse = (
        cast_rays(scene, 0, np.argwhere(np.ones(scene.images[0].shape[:2])), white_bkgd=False) for scene in (full, half)
    )
    for name in ("pixels", "directions"):
        if layout != "llff" or name == "pixels":
            means = fine[name].reshape(4, 2, 8, 2, 3).mean((1, 3)).reshape(-1, 3)
            np.testing.assert_allclose(coarse[name], means, atol=1e-6)


def test_a_factor_of_one_changes_nothing(folders):
    for layout in ("blender", "multiscale", "llff"):
        scenes = [load_scene(folders / layout, "test", 1, DataConfig(factor=factor)) for factor in (0, 1)]
        assert scenes[0].fingerprint() == scenes[1].fingerprint()


@pytest.mark.parametrize(("layout", "bounds"), [("blender", (2, 6)), ("multiscale", (2, 6)), ("llff", (0, 1))])
def test_bounds_are_the_layouts_unless_given(folders, layout, bounds):
    scene = load_scene(folders / layout, "test", 1, DATA)
    assert (set(scene.nears), set(scene.fars)) == ({bounds[0]}, {bounds[1]})
    scene = load_scene(folders / layout, "test", 1, DataConfig(near=0.5, far=0.75))
    assert (set(scene.nears), set(scene.fars)) == ({0.5}, {0.75})


@pytest.mark.parametrize("layout", ["blender", "multiscale", "llff"])
def test_views_can_be_chosen(folders, layout):
    num_levels = 1 if layout == "blender" else 3
    whole = load_scene(folders / layout, "train", num_levels, DATA)
    for options, views in (({"view": 2}, [2]), ({"max_views": 2}, [0, len(set(whole.views)) // 2])):
        scene = load_scene(folders / layout, "train", num_levels, DATA, **options)
        assert scene.fingerprint() == whole.select(np.isin(whole.views, views)).fingerprint()
        assert sorted(set(scene.views)) == views


def test_an_llff_scene_is_taken_out_of_a_zip(folders, tmp_path):
    archive = tmp_path / "nerf_llff_data.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted((folders / "llff").rglob("*.*")):
            stream.write(path, f"nerf_llff_data/fern/{path.relative_to(folders / 'llff')}")
    fetch_scene(archive, "fern", tmp_path / "fern")
    scenes = [load_scene(folder, "train", 2, DATA) for folder in (tmp_path / "fern", folders / "llff")]
    assert scenes[0].fingerprint() == scenes[1].fingerprint()
