import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scene_files import ANGLE, read_transforms_file, tree, write_scene, write_transforms

from mipnerf.datasets.blender import load_scene as load_blender
from mipnerf.datasets.convert import coarser_levels, convert_to_multiscale
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.multiscale import load_scene
from mipnerf.errors import ConfigError, DataError

KEYS = ["file_path", "cam2world", "width", "height", "focal", "label", "near", "far", "lossmult", "pix2cam"]


@pytest.fixture
def source(tmp_path):
    return write_scene(tmp_path / "toy")


def pixels_of(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def slow_levels(pixels: np.ndarray, num_levels: int) -> list[np.ndarray]:
    """All levels, value by value: the mean of the four values above in float32, row by row, cut off to 8 bits."""
    image = [[[np.float32(v) / np.float32(255) for v in pixel] for pixel in row] for row in pixels.tolist()]
    levels = []
    for level in range(num_levels):
        if level > 0:
            image = [
                [mean_of_four(*upper[x : x + 2], *lower[x : x + 2]) for x in range(0, len(upper), 2)]
                for upper, lower in zip(image[::2], image[1::2], strict=True)
            ]
        levels.append(
            np.array([[[int(v * np.float32(255)) for v in pixel] for pixel in row] for row in image], np.uint8)
        )
    return levels


def mean_of_four(*pixels: list[np.float32]) -> list[np.float32]:
    return [(a + b + c + d) / np.float32(4) for a, b, c, d in zip(*pixels, strict=True)]


def reference_mean_levels(pixels: np.ndarray, num_levels: int) -> list[np.ndarray]:
    """Levels 1 and up by one mean over both axes, whose summation order the fast form has to match."""
    image, levels = np.array(pixels, dtype=np.float32) / 255.0, []
    for _ in range(1, num_levels):
        height, width, channels = image.shape
        image = np.mean(image.reshape(height // 2, 2, width // 2, 2, channels), axis=(1, 3))
        levels.append(np.uint8(image * 255))
    return levels


sizes_and_levels = st.integers(1, 4).flatmap(
    lambda levels: st.tuples(
        st.just(levels), *[st.integers(1, 16 >> (levels - 1)).map(lambda n: n << (levels - 1)) for _ in "hw"]
    )
)


@settings(max_examples=40, deadline=None)
@given(sizes_and_levels, st.integers(0, 2**32 - 1))
def test_levels_equal_a_loop_over_single_values(case, seed):
    num_levels, height, width = case
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    expected = slow_levels(pixels, num_levels)
    np.testing.assert_array_equal(expected[0], pixels)
    actual = coarser_levels(pixels, num_levels)
    assert len(actual) == num_levels - 1
    for fast, slow, mean in zip(actual, expected[1:], reference_mean_levels(pixels, num_levels), strict=True):
        assert fast.dtype == np.uint8
        np.testing.assert_array_equal(fast, slow)
        np.testing.assert_array_equal(fast, mean)


def test_levels_equal_the_mean_over_both_axes_on_many_pixels():
    pixels = np.random.default_rng(1).integers(0, 256, (512, 512, 4), dtype=np.uint8)
    for fast, mean in zip(coarser_levels(pixels, 5), reference_mean_levels(pixels, 5), strict=True):
        np.testing.assert_array_equal(fast, mean)


def test_levels_are_chained_in_float_and_truncated():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = pixels[0, 2] = pixels[2, 0] = pixels[2, 2] = 3
    half, quarter = coarser_levels(pixels, 3)
    assert half.max() == 0  # .75 each, and yet
    assert quarter.max() == 0  # not four times a rounded 1
    pixels[:2, :2] = 255
    half, quarter = coarser_levels(pixels, 3)
    assert half[0, 0].tolist() == [255] * 4
    assert quarter[0, 0].tolist() == [64] * 4  # (255 + 3 * .75) / 4 = 64.3; from 8-bit levels it would be 63


def test_every_byte_survives_full_resolution():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(np.uint8(np.float32(values) / 255.0 * 255), values)


def test_conversion_writes_every_level_of_every_view(source, tmp_path):
    target = tmp_path / "out"
    convert_to_multiscale(source, target, num_levels=3)
    expected = {"metadata.json", "manifest.json"}
    for split, views in {"train": 3, "val": 1, "test": 2}.items():
        expected |= {f"images_{split}"} | {f"images_{split}/{i:03d}_d{j}.png" for i in range(views) for j in range(3)}
        for i in range(views):
            for j, image in enumerate(slow_levels(pixels_of(source / split / f"r_{i}.png"), 3)):
                np.testing.assert_array_equal(pixels_of(target / f"images_{split}" / f"{i:03d}_d{j}.png"), image)
    assert set(tree(target)) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"toy", "out"}


def test_metadata_has_the_reference_keys_and_values(tmp_path):
    source = write_scene(tmp_path / "toy", width=16, height=8)
    convert_to_multiscale(source, tmp_path / "out", num_levels=2)
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert list(metadata) == ["train", "val", "test"]
    assert [list(split) for split in metadata.values()] == [KEYS] * 3
    test = metadata["test"]
    poses = [frame["transform_matrix"] for frame in read_transforms_file(source, "test")["frames"]]
    focal = 8 / np.tan(ANGLE / 2)
    assert test["file_path"] == [f"images_test/00{i}_d{j}.png" for i in (0, 1) for j in (0, 1)]
    assert test["cam2world"] == [poses[0], poses[0], poses[1], poses[1]]
    assert test["width"] == [16, 8, 16, 8]
    assert test["height"] == [8, 4, 8, 4]
    assert test["focal"] == pytest.approx([focal, focal / 2] * 2)
    assert test["label"] == [0, 1, 0, 1]
    assert test["near"] == [2.0] * 4
    assert test["far"] == [6.0] * 4
    assert test["lossmult"] == [1.0, 4.0, 1.0, 4.0]
    assert np.array(test["pix2cam"][1]) == pytest.approx(
        np.array([[2 / focal, 0, -8 / focal], [0, -2 / focal, 4 / focal], [0, 0, -1]])
    )


def test_a_size_that_does_not_divide_loses_pixels_at_the_right_and_the_bottom(tmp_path):
    source = write_scene(tmp_path / "toy", width=22, height=13)
    convert_to_multiscale(source, tmp_path / "out", num_levels=3)
    scene = load_scene(tmp_path / "out", "test")
    assert (scene.widths.tolist(), scene.heights.tolist()) == ([20, 10, 5] * 2, [12, 6, 3] * 2)
    whole = pixels_of(source / "test" / "r_1.png")[:12, :20]
    for image, expected in zip(scene.images[3:], slow_levels(whole, 3), strict=True):
        np.testing.assert_array_equal(image, expected)
    # The others still look where they did.
    full = load_blender(source, "test")
    np.testing.assert_array_equal(scene.pix2cams[3], full.pix2cams[1])
    for level in (1, 2):
        middle = full.pix2cams[1] @ [3.5 * 2**level, 2.5 * 2**level, 1]
        np.testing.assert_allclose(scene.pix2cams[3 + level] @ [3.5, 2.5, 1], middle, atol=1e-15)


def test_a_capture_of_another_layout_is_named(tmp_path):
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "transforms.json").write_text("{}")
    with pytest.raises(DataError, match="desk is no Blender scene; set the dataset's layout to transforms, colmap"):
        convert_to_multiscale(tmp_path / "desk", tmp_path / "out")


def sums(folder) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text())["sha256"]


def test_the_manifest_changes_with_pixels_and_cameras_and_nothing_else(source, tmp_path):
    target = tmp_path / "out"
    convert_to_multiscale(source, target)
    before = sums(target)
    assert list(before) == ["metadata.json", "images_train", "images_val", "images_test"]
    assert before["metadata.json"] == hashlib.sha256((target / "metadata.json").read_bytes()).hexdigest()

    def changes() -> set[str]:
        convert_to_multiscale(source, target)
        return {name for name, digest in sums(target).items() if digest != before[name]}

    image, pose = source / "train" / "r_1.png", read_transforms_file(source, "val")
    pixels = pixels_of(image)
    Image.fromarray(pixels).save(image, compress_level=9)  # the same pixels in other bytes
    assert changes() == set()
    pixels = pixels.copy()
    pixels[5, 5, 2] ^= 1
    Image.fromarray(pixels).save(image)
    assert changes() == {"images_train"}
    pose["frames"][0]["transform_matrix"][0][3] += 1e-9
    write_transforms(source, "val", pose)
    assert changes() == {"images_train", "metadata.json"}
    (source / "test" / "r_0.png").rename(source / "r")
    (source / "test" / "r_1.png").rename(source / "test" / "r_0.png")
    (source / "r").rename(source / "test" / "r_1.png")
    assert changes() == {"images_train", "images_test", "metadata.json"}
    convert_to_multiscale(source, target, num_levels=2)
    assert all(digest != before[name] for name, digest in sums(target).items())


def test_the_number_of_workers_changes_nothing(source, tmp_path):
    convert_to_multiscale(source, tmp_path / "one", workers=1)
    convert_to_multiscale(source, tmp_path / "many", workers=5)
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    peaks = []
    for count in (2, 26):
        source = write_scene(tmp_path / f"{count}", {"train": count, "val": 1, "test": 1}, width=256, height=256)
        tracemalloc.start()
        convert_to_multiscale(source, tmp_path / f"out{count}", workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 24 more images are 6 MiB of pixels; metadata.json grows by 0.2 MiB.
    assert peaks[1] < peaks[0] + (2 << 20)


def test_an_old_conversion_is_replaced_as_a_whole(source, tmp_path):
    target = tmp_path / "out"
    convert_to_multiscale(source, target, num_levels=3)
    (target / "metadata.json").unlink()
    convert_to_multiscale(source, target, num_levels=1)
    assert not list(target.glob("*/*_d1.png"))
    assert len(list(target.glob("*/*_d0.png"))) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"toy", "out"}


def test_an_empty_target_and_missing_parents_are_fine(source, tmp_path):
    (tmp_path / "empty").mkdir()
    convert_to_multiscale(source, tmp_path / "empty")
    convert_to_multiscale(source, tmp_path / "a" / "b" / "c")
    assert tree(tmp_path / "empty") == tree(tmp_path / "a" / "b" / "c")


def spoil_image(path, change):
    def spoil(source):
        change(source / path)

    return spoil


def resize(path):
    Image.new("RGBA", (16, 24)).save(path)


def recolour(mode):
    return lambda path: Image.open(path).convert(mode).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def no_val(source):
    (source / "transforms_val.json").unlink()


def nan_pose(source):
    content = read_transforms_file(source, "test")
    content["frames"][1]["transform_matrix"][0][0] = float("nan")
    write_transforms(source, "test", content)


def too_small(source):
    write_scene(source, width=16, height=7)


BAD_SCENES = {
    "size of one image": (
        spoil_image("test/r_1.png", resize),
        "test/r_1.png: image is 16 x 24 pixels, expected 16 x 16",
    ),
    "no alpha": (spoil_image("val/r_0.png", recolour("RGB")), "val/r_0.png: pixels are RGB, allowed is RGBA"),
    "palette": (spoil_image("train/r_0.png", recolour("P")), "train/r_0.png: pixels are P, allowed is RGBA"),
    "truncated": (spoil_image("train/r_2.png", cut), "train/r_2.png: not a whole, undamaged PNG image (200 bytes"),
    "too small": (too_small, "train/r_0.png: image is 16 x 7 pixels; for 4 levels both must be at least 8"),
    "image missing": (spoil_image("test/r_0.png", lambda path: path.unlink()), "test/r_0.png' does not exist in"),
    "split missing": (no_val, "transforms_val.json: cannot be read (No such file or directory)"),
    "NaN pose": (nan_pose, "transforms_test.json: frame 1: 'transform_matrix' must be finite"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_SCENES.values(), ids=BAD_SCENES)
def test_a_bad_scene_is_named_and_leaves_the_old_conversion_alone(source, tmp_path, spoil, message):
    output = tmp_path / "outputs"
    convert_to_multiscale(source, output / "toy", num_levels=1)
    before = tree(output)
    spoil(source)
    with pytest.raises(DataError) as caught:
        convert_to_multiscale(source, output / "toy")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(output) == before


def test_levels_below_one_are_refused(source, tmp_path):
    with pytest.raises(ConfigError, match="at least 1, found 0"):
        convert_to_multiscale(source, tmp_path / "out", num_levels=0)


def test_a_folder_of_something_else_is_not_replaced(source, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for target in (tmp_path / "home", source, tmp_path, tmp_path / "home" / "thesis.tex"):
        before = tree(tmp_path)
        with pytest.raises(DataError, match="would be replaced, but holds"):
            convert_to_multiscale(source, target)
        assert tree(tmp_path) == before


@pytest.mark.golden
def test_metadata_equals_that_of_the_reference_byte_by_byte(golden_dir, tmp_path):
    convert_to_multiscale(golden_dir / "scenes" / "lego_tiny", tmp_path / "out")
    assert (tmp_path / "out/metadata.json").read_bytes() == (golden_dir / "multiscale_metadata.json").read_bytes()


@pytest.mark.golden
def test_metadata_equals_that_of_the_reference_number_by_number(golden_dir, tmp_path, compare):
    convert_to_multiscale(golden_dir / "scenes" / "lego_tiny", tmp_path / "out")
    metadata = json.loads((tmp_path / "out/metadata.json").read_text())
    with np.load(golden_dir / "data_multiscale_meta.npz") as expected:
        for key in expected.files:
            split, _, name = key.partition(".")
            if name == "file_path":
                assert metadata[split][name] == expected[key].tolist()
            else:
                compare(f"data_multiscale_meta/{key}", np.array(metadata[split][name]), expected[key])


def check_images(folder, golden_dir, split=None) -> int:
    """Compare with the reference's checksums of raw pixels; returns how many images were compared."""
    images = json.loads((golden_dir / "multiscale_images.json").read_text())
    images = {name: image for name, image in images.items() if split is None or name.startswith(f"images_{split}/")}
    for name, expected in images.items():
        pixels = pixels_of(folder / name)
        assert list(pixels.shape) == expected["shape"], name
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected["sha256"], name
    return len(images)


@pytest.mark.golden
def test_pixels_equal_those_of_the_reference_bit_by_bit(golden_dir, tmp_path):
    convert_to_multiscale(golden_dir / "scenes" / "lego_tiny", tmp_path / "out")
    assert check_images(tmp_path / "out", golden_dir) == 40


@pytest.mark.slow
@pytest.mark.golden
def test_the_whole_lego_scene_converts_from_its_archive(golden_dir, lego_archive, tmp_path):
    fetch_scene(lego_archive, "lego", tmp_path / "raw")
    convert_to_multiscale(tmp_path / "raw", tmp_path / "out")
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert [len(split["file_path"]) for split in metadata.values()] == [400, 400, 800]
    assert len(list((tmp_path / "out").glob("images_*/*.png"))) == 1600
    # The golden scene is its first frames.
    assert check_images(tmp_path / "out", golden_dir) == 40
