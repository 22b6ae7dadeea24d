import io
import math
import shutil
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from scene_files import cast_rays, write_llff_scene

from mipnerf.config import DataConfig
from mipnerf.datasets.convert import coarser_levels
from mipnerf.datasets.llff import load_scene, render_path
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError, DataError

FULL, HALF = DataConfig(), DataConfig(factor=2)
ALL_AROUND = DataConfig(spherify=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Ten views of 22 x 13 pixels, also halved; to be left as it is."""
    return write_llff_scene(tmp_path_factory.mktemp("llff") / "toy", 10, 22, 13, factors=(1, 2))


@pytest.fixture
def folder(tmp_path):
    return write_llff_scene(tmp_path / "toy", 10, 22, 13)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """Twelve cameras on a ring of radius 3 around (1, 2, 0.5), all looking at it."""
    folder = write_llff_scene(tmp_path_factory.mktemp("llff") / "ring", 12)
    rows = np.load(folder / "poses_bounds.npy")
    for row, angle in zip(rows, np.linspace(0, 2 * math.pi, 12, endpoint=False), strict=True):
        back = np.array([math.cos(angle), math.sin(angle), 0.3]) / math.hypot(1, 0.3)
        right = np.array([-math.sin(angle), math.cos(angle), 0])
        pose = row[:15].reshape(3, 5)  # a view of the row
        pose[:, :4] = np.stack([np.cross(right, back), right, back, [1, 2, 0.5] + 3 * back], axis=1)
    np.save(folder / "poses_bounds.npy", rows)
    return folder


def pixels_of(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def assert_same(scene: Scene, other: Scene) -> None:
    assert scene.fingerprint() == other.fingerprint()
    assert scene.names == other.names
    assert scene.views.tolist() == other.views.tolist()


def test_every_eighth_view_is_a_test_view(toy):
    names = {split: load_scene(toy, split, FULL).names for split in ("train", "val", "test")}
    assert names["test"] == ["images/000.png", "images/008.png"] == names["val"]
    assert names["train"] == [f"images/{i:03d}.png" for i in (1, 2, 3, 4, 5, 6, 7, 9)]
    held = load_scene(toy, "test", DataConfig(llffhold=3))
    assert held.names == [f"images/{i:03d}.png" for i in (0, 3, 6, 9)]
    assert held.views.tolist() == [0, 1, 2, 3]


def test_pixels_are_those_of_the_folder_of_the_factor(toy):
    for data, name in ((FULL, "images"), (HALF, "images_2")):
        scene = load_scene(toy, "train", data)
        np.testing.assert_array_equal(scene.images[2], pixels_of(toy / name / "003.png"))
        assert (scene.max_value, scene.ndc) == (255, True)


def test_cameras_look_from_the_middle_along_minus_z(toy):
    scene = load_scene(toy, "train", DataConfig(llffhold=100))
    whole = np.concatenate([load_scene(toy, "test", DataConfig(llffhold=100)).camtoworlds, scene.camtoworlds])
    np.testing.assert_allclose(whole[:, :, 3].mean(0), 0, atol=1e-6)
    back = whole[:, :, 2].sum(0)
    np.testing.assert_allclose(back / np.linalg.norm(back), [0, 0, 1], atol=1e-6)
    rotations = whole[:, :, :3]
    np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (10, 1, 1)), atol=1e-6)
    assert scene.pix2cams[0, 0, 0] == pytest.approx(1 / (1.2 * 22))


def test_bounds_are_zero_and_one_unless_given(toy):
    scene = load_scene(toy, "test", FULL)
    assert (scene.nears.tolist(), scene.fars.tolist()) == ([0, 0], [1, 1])
    scene = load_scene(toy, "test", DataConfig(near=0.1, far=0.5))
    assert (scene.nears.tolist(), scene.fars.tolist()) == ([0.1, 0.1], [0.5, 0.5])


def test_missing_reduced_images_are_made_exactly(folder):
    scene = load_scene(folder, "train", DataConfig(factor=4))
    whole = pixels_of(folder / "images" / "002.png")[:12, :20].astype(int)
    assert scene.images[1].tolist() == whole.reshape(3, 4, 5, 4, 3).sum((1, 3)).tolist()
    assert scene.max_value == 255 * 16
    full = load_scene(folder, "train", FULL)
    fine, coarse = cast_rays(full, 1, np.argwhere(np.ones((12, 20)))), cast_rays(scene, 1, np.argwhere(np.ones((3, 5))))
    for name in ("viewdirs", "pixels"):
        means = fine[name].reshape(3, 4, 5, 4, 3).mean((1, 3))
        np.testing.assert_allclose(coarse[name].reshape(3, 5, 3), means, atol=1e-6)


def test_images_that_are_reduced_already_are_reduced_further(toy):
    scene = load_scene(toy, "train", DataConfig(factor=4))
    assert scene.names[0] == "images_2/001.png"
    half = pixels_of(toy / "images_2" / "001.png")
    assert scene.max_value == 255 * 4
    height, width = (side // 2 for side in half.shape[:2])
    blocks = half[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    assert scene.images[0].tolist() == blocks.sum((1, 3), dtype=int).tolist()
    assert scene.pix2cams[0, 0, 0] == pytest.approx(4 / (1.2 * 22))


def test_levels_are_the_pyramid_of_the_cropped_image(toy):
    scene = load_scene(toy, "test", FULL, num_levels=3)
    assert scene.names == ["images/000.png"] * 3 + ["images/008.png"] * 3
    assert scene.levels.tolist() == [0, 1, 2] * 2
    assert scene.lossmults.tolist() == [1, 4, 16] * 2
    assert scene.views.tolist() == [0, 0, 0, 1, 1, 1]
    whole = pixels_of(toy / "images" / "008.png")[:12, :20]
    for image, expected in zip(scene.images[3:], [whole, *coarser_levels(whole, 3)], strict=True):
        np.testing.assert_array_equal(image, expected)


def test_a_coarse_pixel_looks_through_the_middle_of_those_it_covers(toy):
    scene = load_scene(toy, "test", FULL, num_levels=3)
    fine = cast_rays(scene, 0, np.argwhere(np.ones((12, 20))))["viewdirs"].reshape(3, 4, 5, 4, 3)
    coarse = cast_rays(scene, 2, np.argwhere(np.ones((3, 5))))["viewdirs"].reshape(3, 5, 3)
    np.testing.assert_allclose(coarse, fine.mean((1, 3)), atol=1e-6)
    single = cast_rays(load_scene(toy, "test", FULL), 0, np.argwhere(np.ones((12, 20))))["viewdirs"]
    np.testing.assert_allclose(fine.reshape(-1, 3), single, atol=1e-6)


def test_levels_of_images_reduced_here_are_cut_off_means(folder):
    scene = load_scene(folder, "test", HALF, num_levels=2)
    whole = pixels_of(folder / "images" / "000.png")[:12, :20].astype(int)
    sums = whole.reshape(6, 2, 10, 2, 3).sum((1, 3))
    assert scene.images[0].tolist() == sums.tolist()
    assert scene.images[1].tolist() == (sums.reshape(3, 2, 5, 2, 3).sum((1, 3)) // 4).tolist()
    assert scene.images[1].dtype == np.uint16


@pytest.mark.parametrize("data", [FULL, DataConfig(factor=4)], ids=["files", "reduced"])
@pytest.mark.parametrize(
    ("options", "select"),
    [
        ({"level": 1}, lambda scene: scene.levels == 1),
        ({"view": 3}, lambda scene: scene.views == 3),
        ({"view": 5, "level": 0}, lambda scene: (scene.views == 5) & (scene.levels == 0)),
        ({"max_views": 3}, lambda scene: np.isin(scene.views, [0, 2, 5])),
        ({"max_views": 99}, lambda scene: scene.views >= 0),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_what_is_asked_for_is_the_selection_of_the_whole(toy, data, options, select):
    whole = load_scene(toy, "train", data, num_levels=2)
    assert_same(load_scene(toy, "train", data, num_levels=2, **options), whole.select(select(whole)))


def test_images_that_are_not_asked_for_are_not_decoded(folder):
    for path in (folder / "images").iterdir():
        if path.stem not in ("000", "004"):
            path.write_bytes(b"")
    assert load_scene(folder, "train", FULL, view=3).names == ["images/004.png"]
    with pytest.raises(DataError, match=r"images/001\.png: not a whole"):
        load_scene(folder, "train", FULL, view=0)


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".PNG"])
def test_images_may_be_jpeg_and_their_suffix_large(tmp_path, suffix):
    folder = write_llff_scene(tmp_path / "toy", suffix=suffix)
    (folder / "images" / "notes.txt").write_text("no image")
    (folder / "images" / f"._000{suffix}").write_text("what macOS leaves behind")
    scene = load_scene(folder, "train", FULL)
    assert scene.names[0] == f"images/001{suffix}"
    np.testing.assert_array_equal(scene.images[0], pixels_of(folder / "images" / f"001{suffix}"))


def test_cameras_all_around_stand_on_a_unit_sphere_and_look_at_the_origin(ring):
    scene = load_scene(ring, "train", ALL_AROUND)
    assert not scene.ndc
    np.testing.assert_allclose(np.linalg.norm(scene.camtoworlds[:, :, 3], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scene.camtoworlds[:, :, 3], scene.camtoworlds[:, :, 2], atol=1e-5)


def test_the_path_around_is_a_closed_circle_that_looks_at_the_origin(ring):
    path = render_path(ring, ALL_AROUND, 30)
    positions = path.camtoworlds[:, :, 3]
    np.testing.assert_allclose(positions, path.camtoworlds[:, :, 2] * np.linalg.norm(positions, axis=1)[:, None])
    np.testing.assert_allclose(positions[0], positions[-1], atol=1e-12)
    assert np.ptp(positions[:, 2]) == 0
    assert (path.num_views, path.ndc, path.widths[0], path.heights[0]) == (30, False, 16, 12)


def test_the_spiral_stays_near_the_cameras_and_looks_forward(toy):
    path = render_path(toy, DataConfig(factor=4), 20)
    scene = load_scene(toy, "train", DataConfig(factor=4))
    assert path.num_views == 20
    assert (path.widths[0], path.heights[0]) == (scene.widths[0], scene.heights[0])
    np.testing.assert_array_equal(path.pix2cams[0], scene.pix2cams[0])
    assert (path.camtoworlds[:, 2, 2] > 0.9).all()
    limit = np.abs(scene.camtoworlds[:, :, 3]).max(0) * 1.5
    assert (np.abs(path.camtoworlds[:, :, 3]) < limit).all()
    assert np.ptp(path.camtoworlds[:, :, 3], axis=0).min() > 0


def rows_with(index, value):
    def edit(folder):
        rows = np.load(folder / "poses_bounds.npy")
        rows[index] = value
        np.save(folder / "poses_bounds.npy", rows)

    return edit


def saved(change):
    def edit(folder):
        np.save(folder / "poses_bounds.npy", change(np.load(folder / "poses_bounds.npy")))

    return edit


def written(content: bytes, name: str = "poses_bounds.npy"):
    return lambda folder: (folder / name).write_bytes(content)


def resized(folder):
    Image.new("RGB", (22, 14)).save(folder / "images" / "005.png")


def all_resized(folder):
    for path in (folder / "images").iterdir():
        Image.new("RGB", (11, 6)).save(path)


def turned_round(rows: np.ndarray) -> np.ndarray:
    """The last camera, or with few rows all, turned by half a turn around its vertical."""
    turned = rows.copy()
    turned[-1 if len(rows) > 5 else 0 :] *= [1, -1, -1, 1, 1] * 3 + [1, 1]
    return turned


BAD_CAPTURES = {
    "no poses": (lambda folder: (folder / "poses_bounds.npy").unlink(), "poses_bounds.npy: cannot be read (No such"),
    "no array": (written(b"hello"), "poses_bounds.npy: not a whole NumPy array"),
    "pickle": (saved(lambda rows: rows.astype(object)), "poses_bounds.npy: not a whole NumPy array"),
    "15 columns": (saved(lambda rows: rows[:, :15]), "[images, 17], found float64 of shape [10, 15]"),
    "text": (saved(lambda rows: rows.astype(str)), "must hold numbers of shape [images, 17], found <U"),
    "no rows": (saved(lambda rows: rows[:0]), "the array is empty, expected at least one image"),
    "NaN": (rows_with((3, 5), math.nan), "row 3: all 17 values must be finite"),
    "too large": (rows_with((3, 3), 1e39), "row 3: all 17 values must be finite in 32 bits"),
    "singular pose": (rows_with((4, [0, 5, 10]), 0), "row 4: the pose must be invertible"),
    "no focal": (rows_with((2, 14), 0), "row 2: height, width and focal length must be above 0"),
    "near 0": (rows_with((2, 15), 0), "row 2: the bounds must be above 0"),
    "far before near": (rows_with((2, 16), 1), "row 2: the bounds must be above 0, the near one below the far one"),
    "fewer poses": (saved(lambda rows: rows[1:]), "10 PNG, JPEG, WebP or TIFF images, but"),
    "fewer images": (
        lambda folder: (folder / "images" / "002.png").unlink(),
        "images: 9 PNG, JPEG, WebP or TIFF images, but",
    ),
    "no images": (
        lambda folder: [path.unlink() for path in (folder / "images").iterdir()],
        "images: 0 PNG, JPEG, WebP or TIFF",
    ),
    "no folder": (lambda folder: shutil.rmtree(folder / "images"), "data.factor 0 needs a folder images; found: none"),
    "another size": (resized, "005.png: image is 22 x 14 pixels, expected 22 x 13"),
    "all smaller": (all_resized, "row 0: images in"),
    "damaged": (written(b"\x89PNG", "images/003.png"), "003.png: not a whole, undamaged PNG"),
    "damaged header": (written(b"", "images/000.png"), "TIFF image, but an empty file"),
    "RGBA": (lambda folder: Image.new("RGBA", (22, 13)).save(folder / "images" / "003.png"), "pixels are RGBA; allow"),
    "turned round": (saved(turned_round), "row 9: the camera looks away from where the others look"),
    "no mean direction": (saved(lambda rows: np.concatenate([rows[:5], turned_round(rows[:5])])), "looks away from"),
}


@pytest.mark.parametrize(("edit", "message"), BAD_CAPTURES.values(), ids=BAD_CAPTURES)
def test_a_bad_capture_gives_one_message_naming_the_place(folder, edit, message):
    edit(folder)
    with pytest.raises(DataError) as caught:
        load_scene(folder, "train", FULL)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parallel_cameras_cannot_stand_around_anything(folder):
    rows = np.load(folder / "poses_bounds.npy")
    rows[:, :15].reshape(-1, 3, 5)[:, :, :3] = rows[0, :15].reshape(3, 5)[:, :3]
    np.save(folder / "poses_bounds.npy", rows)
    assert load_scene(folder, "train", FULL).num_views == 8
    with pytest.raises(DataError, match="needs cameras that stand around what they look at"):
        load_scene(folder, "train", ALL_AROUND)


def test_a_folder_that_is_reduced_too_far_is_named(tmp_path):
    folder = write_llff_scene(tmp_path / "toy", width=16, height=16, factors=(8,))
    with pytest.raises(DataError, match=r"data\.factor 4 needs a folder .* or images; found: images_8"):
        load_scene(folder, "train", DataConfig(factor=4))


def test_impossible_requests_are_refused(toy):
    with pytest.raises(ConfigError, match="view 8 does not exist; the split has views 0 to 7"):
        load_scene(toy, "train", FULL, view=8)
    with pytest.raises(ConfigError, match="level 2 does not exist; the scene has levels 0 to 1"):
        load_scene(toy, "train", FULL, num_levels=2, level=2)
    with pytest.raises(ConfigError, match="max_views must be at least 1, found 0"):
        load_scene(toy, "train", FULL, max_views=0)
    with pytest.raises(ConfigError, match="levels must be at least 1, found 0"):
        load_scene(toy, "train", FULL, num_levels=0)
    with pytest.raises(DataError, match="no split 'trial'; allowed are train, val, test"):
        load_scene(toy, "trial", FULL)
    with pytest.raises(DataError, match="22 x 13 pixels are too few to be reduced 16 times"):
        load_scene(toy, "train", FULL, num_levels=5)


def test_one_image_leaves_nothing_to_train_on(tmp_path):
    folder = write_llff_scene(tmp_path / "toy", views=1)
    assert load_scene(folder, "test", FULL).num_views == 1
    with pytest.raises(DataError, match="at least 2 are needed"):
        load_scene(folder, "train", FULL)


def test_every_damage_of_the_poses_is_one_message_or_harmless(folder):
    path = folder / "poses_bounds.npy"
    stream = io.BytesIO()
    np.save(stream, np.load(path))
    data = stream.getvalue()
    for position in range(0, 128):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with suppress(DataError):
            load_scene(folder, "test", FULL, view=0)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"poses_bounds\.npy: not a whole NumPy array"):
            load_scene(folder, "test", FULL)


@pytest.mark.parametrize("data", [{"far": 6.0}, {"far": 1.5, "near": 0.5}])
def test_bounds_outside_of_ndc_are_refused(tmp_path, data):
    folder = write_llff_scene(tmp_path / "fern")
    with pytest.raises(ConfigError, match=r"must lie within 0 and 1.*spherify"):
        load_scene(folder, "train", DataConfig(**data))
