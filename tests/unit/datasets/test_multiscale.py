import json
import math

import numpy as np
import pytest
from PIL import Image
from scene_files import rays, read_transforms_file, write_scene

from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.multiscale import load_scene
from mipnerf.errors import ConfigError, DataError

MULTICAM_VIEWS = [("train", view) for view in (0, 1, 2, 3, 21)] + [("test", view) for view in (0, 1, 2, 3, 6, 7)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A converted scene of 7 training views and 3 levels; to be left as it is."""
    folder = tmp_path_factory.mktemp("multiscale")
    write_scene(folder / "raw", {"train": 7, "val": 1, "test": 2}, width=16, height=8)
    convert_to_multiscale(folder / "raw", folder / "toy", num_levels=3)
    return folder


@pytest.fixture
def folder(tmp_path):
    write_scene(tmp_path / "raw", {"train": 3, "val": 1, "test": 2}, width=16, height=8)
    convert_to_multiscale(tmp_path / "raw", tmp_path / "toy", num_levels=3)
    return tmp_path / "toy"


def test_a_converted_scene_loads_with_all_its_levels(converted):
    scene = load_scene(converted / "toy", "test")
    frames = read_transforms_file(converted / "raw", "test")["frames"]
    assert scene.names == [f"images_test/00{i}_d{j}.png" for i in range(2) for j in range(3)]
    assert scene.levels.tolist() == [0, 1, 2, 0, 1, 2]
    assert scene.levels.dtype == np.int64
    assert scene.lossmults.tolist() == [1, 4, 16, 1, 4, 16]
    assert scene.widths.tolist() == [16, 8, 4] * 2
    assert scene.heights.tolist() == [8, 4, 2] * 2
    for i, name in enumerate(scene.names):
        np.testing.assert_array_equal(scene.images[i], np.asarray(Image.open(converted / "toy" / name)))
        assert scene.camtoworlds[i].tolist() == frames[i // 3]["transform_matrix"][:3]


def test_a_coarse_pixel_looks_through_the_middle_of_the_four_it_covers(converted):
    scene = load_scene(converted / "toy", "train")
    fine = rays(scene, 0, np.array([[4, 6], [4, 7], [5, 6], [5, 7]]))
    coarse = rays(scene, 1, np.array([[2, 3]]))
    np.testing.assert_allclose(coarse["directions"][0], fine["directions"].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(coarse["radii"], 2 * fine["radii"][:1], rtol=1e-12)


@pytest.mark.parametrize(
    ("max_views", "views"),
    [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (6, [0, 1, 2, 3, 4, 5]), (7, range(7)), (99, range(7)), (None, range(7))],
)
def test_max_views_are_evenly_spaced_and_keep_all_levels(converted, max_views, views):
    scene = load_scene(converted / "toy", "train", max_views)
    assert scene.names == [f"images_train/00{i}_d{j}.png" for i in views for j in range(3)]
    whole = load_scene(converted / "toy", "train")
    chosen = whole.select([whole.names.index(name) for name in scene.names])
    assert scene.fingerprint() == chosen.fingerprint()


def test_views_that_are_not_asked_for_are_not_read(folder):
    for path in folder.glob("images_train/00[12]_*"):
        path.unlink()
    assert load_scene(folder, "train", max_views=1).num_views == 3


@pytest.mark.parametrize(
    ("options", "chosen"),
    [({"level": 2}, [2, 5, 8]), ({"view": 1}, [3, 4, 5]), ({"view": 2, "level": 0}, [6])],
    ids=str,
)
def test_what_is_asked_for_is_the_selection_of_the_whole_and_nothing_else_is_read(folder, options, chosen):
    whole = load_scene(folder, "train").select(chosen)
    for path in folder.glob("images_train/*"):
        if f"images_train/{path.name}" not in whole.names:
            path.unlink()
    scene = load_scene(folder, "train", **options)
    assert scene.fingerprint() == whole.fingerprint()
    assert (scene.names, scene.views.tolist()) == (whole.names, whole.views.tolist())


def test_a_view_or_level_that_there_is_not_is_refused(converted):
    with pytest.raises(ConfigError, match="view -1 does not exist; the split has views 0 to 6"):
        load_scene(converted / "toy", "train", view=-1)
    with pytest.raises(ConfigError, match="level 3 does not exist; the scene has levels 0 to 2"):
        load_scene(converted / "toy", "train", level=3)


def test_max_views_below_one_is_refused(converted):
    with pytest.raises(ConfigError, match="max_views must be at least 1, found 0"):
        load_scene(converted / "toy", "train", max_views=0)


def entry(key: str, index: int, value: object):
    def edit(split: dict) -> None:
        split[key][index] = value

    return edit


def drop(key: str):
    return lambda split: split.pop(key)


BAD_METADATA = {
    "missing key": (drop("pix2cam"), "key 'pix2cam' is missing"),
    "missing names": (drop("file_path"), "key 'file_path' is missing"),
    "list too short": (lambda split: split["near"].pop(), "'near' has 8 entries, but 'file_path' has 9"),
    "no list": (lambda split: split.update(far=6.0), "'far' must be a list, found 6.0"),
    "empty": (lambda split: split["file_path"].clear(), "'file_path' is empty"),
    "NaN pose": (entry("cam2world", 4, np.full((4, 4), math.nan).tolist()), "'cam2world', entry 4 must be finite"),
    "pose 3x4": (entry("cam2world", 4, np.eye(4)[:3].tolist()), "'cam2world', entry 4 must be numbers of shape [4, 4]"),
    "singular pose": (
        entry("cam2world", 4, np.diag([1, 1, 0, 1]).tolist()),
        "'cam2world', entry 4 must be an invertible",
    ),
    "singular pix2cam": (entry("pix2cam", 2, np.zeros((3, 3)).tolist()), "entry 2: 'pix2cam' must be invertible"),
    "width as text": (entry("width", 3, "16"), "'width', entry 3 must be a number, found \"16\""),
    "half a pixel": (entry("width", 3, 16.5), "entry 3: 'width' and 'height' must be whole numbers"),
    "no pixels": (entry("height", 3, 0), "entry 3: 'width' and 'height' must be whole numbers"),
    "far before near": (entry("far", 5, 1.0), "entry 5: 'near' must be at least 0 and below 'far'"),
    "negative near": (entry("near", 5, -1.0), "entry 5: 'near' must be at least 0 and below 'far'"),
    "no weight": (entry("lossmult", 1, 0.0), "entry 1: 'lossmult' and 'focal' must be above 0"),
    "negative focal": (entry("focal", 1, -3.0), "entry 1: 'lossmult' and 'focal' must be above 0"),
    "label out of turn": (entry("label", 1, 2), "'label' must run 0, 1, ... through the same levels"),
    "negative labels": (lambda split: split.update(label=[-1] * 9), "'label' must run 0, 1, ..."),
    "huge label": (entry("label", 8, 1e300), "'label' must run 0, 1, ..."),
    "name as number": (entry("file_path", 1, 5), "entry 1: 'file_path' must be a text, found 5"),
    "name escapes": (
        entry("file_path", 1, "../raw/train/r_0.png"),
        "entry 1: 'file_path': '../raw/train/r_0.png' must",
    ),
    "image missing": (entry("file_path", 1, "images_train/9.png"), "images_train/9.png: cannot be read (No such file"),
    "another size": (entry("width", 1, 9), "images_train/000_d1.png: image is 8 x 4 pixels, expected 9 x 4"),
}


@pytest.mark.parametrize(("edit", "message"), BAD_METADATA.values(), ids=BAD_METADATA)
def test_bad_metadata_gives_one_message_naming_the_entry(folder, edit, message):
    path = folder / "metadata.json"
    content = json.loads(path.read_text())
    edit(content["train"])
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        load_scene(folder, "train")
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_split_is_named_with_those_there_are(converted):
    with pytest.raises(DataError, match=r"metadata\.json: key 'trial' is missing; found: train, val, test"):
        load_scene(converted / "toy", "trial")


def test_a_folder_without_metadata_is_named(converted):
    with pytest.raises(DataError, match=r"raw/metadata\.json: cannot be read \(No such file or directory\)"):
        load_scene(converted / "raw", "train")


def test_a_damaged_image_is_named(folder):
    path = folder / "images_train" / "001_d2.png"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"images_train/001_d2\.png: not a whole"):
        load_scene(folder, "train")


@pytest.fixture(scope="module")
def golden_scene(golden_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden") / "lego_tiny"
    convert_to_multiscale(golden_dir / "scenes" / "lego_tiny", folder)
    with np.load(golden_dir / "data_multicam.npz") as golden:
        return {split: load_scene(folder, split) for split in ("train", "test")}, dict(golden)


@pytest.mark.golden
@pytest.mark.parametrize(("split", "view"), MULTICAM_VIEWS)
def test_rays_and_pixels_equal_the_reference_loader(golden_scene, compare, split, view):
    scenes, golden = golden_scene
    scene, expected = scenes[split], {name[len(f"{split}{view}.") :]: values for name, values in golden.items()
                                      if name.startswith(f"{split}{view}.")}  # fmt: skip
    compare(f"data_multicam/{split}{view}.hw", scene.images[view].shape[:2], expected["hw"])
    for name, values in rays(scene, view, expected["yx"]).items():
        # Colours are float32 there, and radii differences of directions of order 1.
        atol = {"pixels": 1e-6, "radii": 1e-12}.get(name, 1e-14)
        compare(f"data_multicam/{split}{view}.{name}", values, expected[name], atol=atol)
    rows, columns = np.indices(scene.images[view].shape[:2])
    colours = rays(scene, view, np.stack([rows.ravel(), columns.ravel()], axis=1))["pixels"]
    compare(f"data_multicam/{split}{view}.image_mean", colours.mean(axis=0), expected["image_mean"], atol=1e-6)


@pytest.mark.golden
def test_all_pixels_in_file_order_equal_the_reference_batch(golden_scene, compare):
    scenes, golden = golden_scene
    scene, index = scenes["train"], golden["train_flat.index"]
    for split in scenes:
        compare(f"data_multicam/{split}.n_examples", scenes[split].num_views, golden[f"{split}.n_examples"])
    compare("data_multicam/train_flat.n_rays", scene.num_pixels, golden["train_flat.n_rays"])
    starts = np.concatenate([[0], np.cumsum(scene.widths * scene.heights)])
    for row, i in enumerate(index):
        view = int(np.searchsorted(starts, i, side="right")) - 1
        y, x = divmod(int(i - starts[view]), int(scene.widths[view]))
        for name, values in rays(scene, view, np.array([[y, x]])).items():
            expected = golden[f"train_flat.{name}"][row]
            atol = {"pixels": 1e-6, "radii": 1e-12}.get(name, 1e-14)
            compare(f"data_multicam/train_flat.{name}", values[0], expected, atol=atol)
