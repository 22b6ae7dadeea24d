"""What the layouts transforms and colmap have in common: rays, placing, splits, smaller images, levels."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from capture_files import directions_of, make_toy, toy_of_llff, transforms_of, write_colmap, write_images, write_json
from PIL import Image
from scene_files import cast_rays

from mipnerf.config import DataConfig
from mipnerf.datasets import llff
from mipnerf.datasets.convert import coarser_levels
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError

AS_IT_IS = DataConfig(normalize=False, near=1.0, far=9.0)
LAYOUTS = ("transforms", "colmap")
WHOLE = np.argwhere(np.ones((13, 22)))


def write_capture(toy, folder, layout, suffix=".bin"):
    write_images(toy, folder)
    return write_json(folder, transforms_of(toy)) if layout == "transforms" else write_colmap(toy, folder, suffix)


@pytest.fixture(scope="module")
def toy():
    return make_toy()


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    """The same ten views in each layout; to be left as they are."""
    top = tmp_path_factory.mktemp("captures")
    return {layout: write_capture(toy, top / layout, layout) for layout in LAYOUTS}


@pytest.fixture(params=LAYOUTS)
def folder(folders, request):
    return folders[request.param]


def test_rays_are_those_of_the_cameras_and_pixels_those_of_the_files(toy, folder):
    scene = load_scene(folder, "train", 1, AS_IT_IS)
    assert scene.names == [f"images/{name}" for i, name in enumerate(toy.names) if i % 8]
    assert not scene.ndc
    for view in (0, 7):
        i = [1, 2, 3, 4, 5, 6, 7, 9][view]
        rays, expected = cast_rays(scene, view, WHOLE), directions_of(toy.camtoworlds[i], toy.intrinsics, WHOLE)
        np.testing.assert_allclose(rays["directions"], expected, atol=2e-6)
        np.testing.assert_allclose(rays["origins"], np.broadcast_to(toy.camtoworlds[i, :3, 3], (286, 3)), atol=1e-6)
        assert (rays["near"].min(), rays["far"].max()) == (1, 9)
        np.testing.assert_array_equal(scene.images[view], toy.images[i])


def test_every_eighth_view_is_a_test_view(toy, folder):
    held = {split: load_scene(folder, split, 1, DataConfig()) for split in ("train", "val", "test")}
    assert held["test"].names == ["images/000.png", "images/008.png"] == held["val"].names
    assert held["train"].num_views == 8
    assert load_scene(folder, "test", 1, DataConfig(llffhold=3)).num_views == 4


def test_normalised_cameras_stand_around_the_origin_as_those_of_blender_do(toy, folder):
    train, test = (load_scene(folder, split, 1, DataConfig()) for split in ("train", "test"))
    positions = np.concatenate([train.camtoworlds, test.camtoworlds])[:, :, 3]
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 4)
    np.testing.assert_allclose(test.camtoworlds[:, :, :3], toy.camtoworlds[[0, 8], :3, :3], atol=1e-12)
    np.testing.assert_allclose(test.camtoworlds[0, :, 3], 4 * toy.camtoworlds[0, :3, 2], atol=1e-12)


def test_near_and_far_follow_the_cameras_or_the_points(toy, folders):
    scene = load_scene(folders["transforms"], "train", 1, DataConfig())
    assert (scene.nears[0], scene.fars[0]) == (pytest.approx(2), pytest.approx(6))
    scene = load_scene(folders["transforms"], "train", 1, DataConfig(normalize=False))
    assert (scene.nears[0], scene.fars[0]) == (pytest.approx(1.5), pytest.approx(4.5))

    depths = [(pose[:3, 3] - toy.points) @ pose[:3, 2] for pose in toy.camtoworlds]
    near, far = np.percentile(depths, [0.1, 99.9]) * [0.9, 1]
    for data, scale in ((DataConfig(normalize=False), 1), (DataConfig(), 4 / 3)):
        scene = load_scene(folders["colmap"], "train", 1, data)
        np.testing.assert_allclose(scene.nears, near * scale)
        np.testing.assert_allclose(scene.fars, far * scale)


def test_bounds_of_a_background_without_end_need_no_hand(toy, folders):
    """Near is as without a contraction, of the points where there are some; far is as good as infinity."""
    depths = [(pose[:3, 3] - toy.points) @ pose[:3, 2] for pose in toy.camtoworlds]
    of_points = 0.9 * np.percentile(depths, 0.1)
    for layout, near in (("transforms", 1.5), ("colmap", of_points)):
        for normalize, scale in ((True, 4 / 3), (False, 1)):
            scene = load_scene(folders[layout], "train", 1, DataConfig(unbounded=True, normalize=normalize))
            np.testing.assert_allclose(scene.nears, near * scale)
            np.testing.assert_allclose(scene.fars, 1500 * 3 * scale)
            assert scene.unbounded
        scene = load_scene(folders[layout], "train", 1, DataConfig(unbounded=True, near=0.5))
        assert (scene.nears[0], scene.fars[0]) == (0.5, pytest.approx(6000))
        scene = load_scene(folders[layout], "train", 1, DataConfig(unbounded=True, near=0.5, far=50))
        assert (scene.nears[0], scene.fars[0]) == (0.5, 50)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_given_bounds_win_one_by_one(folders, layout):
    by_rule = load_scene(folders[layout], "test", 1, DataConfig())
    scene = load_scene(folders[layout], "test", 1, DataConfig(near=0.25))
    assert (scene.nears[0], scene.fars[0]) == (0.25, by_rule.fars[0])
    with pytest.raises(ConfigError, match=r"must be less than far 0\.5: set data\.near and data\.far"):
        load_scene(folders[layout], "test", 1, DataConfig(far=0.5))


def facing(rows, **changes):
    """The toy with other directions: every camera looks along the rows of `rows`."""
    toy = make_toy()
    camtoworlds = toy.camtoworlds.copy()
    camtoworlds[:, :3, :3] = rows(camtoworlds[:, :3, :3])
    return replace(toy, camtoworlds=camtoworlds, points=np.zeros((0, 3)), **changes)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [lambda r: r[:1].repeat(10, 0), lambda r: r * [-1, 1, -1]], ids=["parallel", "out"])
def test_cameras_that_look_at_nothing_together_need_bounds(tmp_path, layout, rows):
    folder = write_capture(facing(rows), tmp_path / "room", layout)
    for data in (DataConfig(), DataConfig(normalize=False), DataConfig(near=1.0, far=2.0)):
        with pytest.raises(DataError, match=r"room: the cameras do not look at a common point.*normalize to false"):
            load_scene(folder, "train", 1, data)
    assert load_scene(folder, "train", 1, AS_IT_IS).num_views == 8


def test_missing_points_leave_the_rule_of_the_cameras(folders, tmp_path):
    folder = shutil.copytree(folders["colmap"], tmp_path / "desk")
    (folder / "sparse/0/points3D.bin").unlink()
    scene = load_scene(folder, "train", 1, DataConfig())
    assert (scene.nears[0], scene.fars[0]) == (pytest.approx(2), pytest.approx(6))


def test_a_factor_makes_exact_sums_and_levels_their_cut_off_means(toy, folder):
    scene = load_scene(folder, "train", 2, DataConfig(factor=2, normalize=False))
    sums = toy.images[1][:12, :20].astype(int).reshape(6, 2, 10, 2, 3).sum((1, 3))
    assert scene.images[0].tolist() == sums.tolist()
    assert scene.images[1].tolist() == (sums.reshape(3, 2, 5, 2, 3).sum((1, 3)) // 4).tolist()
    assert (scene.max_value, scene.lossmults[:2].tolist(), scene.views[:4].tolist()) == (255 * 4, [1, 4], [0, 0, 1, 1])
    # A coarse pixel looks through the middle of those that it covers.
    fine = directions_of(toy.camtoworlds[1], toy.intrinsics, WHOLE).reshape(13, 22, 3)[:12, :20]
    for view, factor in ((0, 2), (1, 4)):
        height, width = 12 // factor, 20 // factor
        rays = cast_rays(scene, view, np.argwhere(np.ones((height, width))))["directions"]
        means = fine.reshape(height, factor, width, factor, 3).mean((1, 3))
        np.testing.assert_allclose(rays.reshape(height, width, 3), means, atol=2e-6)


def test_levels_are_the_pyramid_of_the_cropped_image(toy, folder):
    scene = load_scene(folder, "test", 3, DataConfig())
    whole = toy.images[8][:12, :20]
    for image, expected in zip(scene.images[3:], [whole, *coarser_levels(whole, 3)], strict=True):
        np.testing.assert_array_equal(image, expected)
    finest = load_scene(folder, "train", 3, DataConfig(train_levels=1))
    assert set(finest.levels) == {0}


@pytest.mark.parametrize(
    ("options", "select"),
    [
        ({"level": 1}, lambda scene: scene.levels == 1),
        ({"view": 3}, lambda scene: scene.views == 3),
        ({"view": 5, "level": 0}, lambda scene: (scene.views == 5) & (scene.levels == 0)),
        ({"max_views": 3}, lambda scene: np.isin(scene.views, [0, 2, 5])),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_what_is_asked_for_is_the_selection_of_the_whole(folder, options, select):
    whole = load_scene(folder, "train", 2, DataConfig())
    part, expected = load_scene(folder, "train", 2, DataConfig(), **options), whole.select(select(whole))
    assert part.fingerprint() == expected.fingerprint()
    assert part.names == expected.names
    assert part.views.tolist() == expected.views.tolist()


def test_impossible_requests_are_refused(folder):
    for message, options in {
        "view 8 does not exist; the split has views 0 to 7": {"view": 8},
        "level 1 does not exist; the scene has levels 0 to 0": {"level": 1},
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_scene(folder, "train", 1, DataConfig(), **options)
    with pytest.raises(ConfigError, match="levels must be at least 1"):
        load_scene(folder, "train", 0, DataConfig())
    with pytest.raises(DataError, match="there is no split 'trial'; allowed are train, val, test"):
        load_scene(folder, "trial", 1, DataConfig())
    with pytest.raises(DataError, match="22 x 13 pixels are too few to be reduced 16 times"):
        load_scene(folder, "train", 5, DataConfig())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".png"])
def test_photographs_may_be_jpeg(tmp_path, layout, suffix):
    folder = write_capture(make_toy(views=3, suffix=suffix), tmp_path / "desk", layout)
    scene = load_scene(folder, "train", 1, DataConfig())
    np.testing.assert_array_equal(scene.images[0], np.asarray(Image.open(folder / "images" / f"001{suffix}")))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_alpha_is_composited_and_photographs_without_are_opaque(tmp_path, layout):
    toy = make_toy(views=4, channels=4)
    toy.images[2] = toy.images[2][..., :3]
    folder = write_capture(toy, tmp_path / "desk", layout)
    for data, max_value in ((DataConfig(), 255), (DataConfig(factor=2), 255 * 4)):
        scene = load_scene(folder, "train", 1, data)
        assert [image.shape[2] for image in scene.images] == [4, 4, 4]
        assert (scene.images[1][..., 3] == max_value).all()
    yx = np.argwhere(np.ones((13, 22)))
    scene = load_scene(folder, "train", 1, DataConfig())
    rgba = toy.images[1].reshape(-1, 4) / 255
    white = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
    np.testing.assert_allclose(cast_rays(scene, 0, yx)["pixels"], white, atol=1e-6)
    np.testing.assert_allclose(cast_rays(scene, 0, yx, white_bkgd=False)["pixels"], rgba[:, :3], atol=1e-6)
    np.testing.assert_allclose(cast_rays(scene, 1, yx)["pixels"], toy.images[2].reshape(-1, 3) / 255, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bad_photographs_are_named_when_they_are_read(toy, tmp_path, layout):
    folder = write_capture(toy, tmp_path / "desk", layout)
    (folder / "images/001.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (23, 13)).save(folder / "images/002.png")
    Image.new("F", (22, 13)).save(folder / "images/003.png", "TIFF")
    for view, message in enumerate(
        [
            "001.png: not a whole, undamaged PNG",
            "002.png: image is 23 x 13 pixels, expected 22 x 13",
            "a TIFF file whose pixels are F",
        ]
    ):
        with pytest.raises(DataError, match=message):
            load_scene(folder, "train", 1, DataConfig(), view=view)
    assert load_scene(folder, "train", 1, DataConfig(), view=3).num_views == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_photograph_leaves_nothing_to_train_on(tmp_path, layout):
    folder = write_capture(make_toy(views=1), tmp_path / "desk", layout)
    with pytest.raises(DataError, match="no photograph is left for train; at least 2 are needed"):
        load_scene(folder, "train", 1, AS_IT_IS)


def test_the_layout_that_is_asked_for_wins_over_the_files(toy, tmp_path):
    folder = write_capture(toy, tmp_path / "desk", "transforms")
    write_colmap(replace(toy, camtoworlds=toy.camtoworlds[::-1]), folder)
    scenes = {layout: load_scene(folder, "test", 1, DataConfig(layout=layout)) for layout in (None, *LAYOUTS)}
    assert scenes[None].fingerprint() == scenes["transforms"].fingerprint() != scenes["colmap"].fingerprint()


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["ff", "360"])
def test_real_cameras_give_the_same_rays_in_all_forms(golden_dir, tmp_path, kind):
    toy = toy_of_llff(golden_dir / "scenes" / f"beer_{kind}", 8)
    folders = {name: write_images(toy, tmp_path / name) for name in ("transforms", ".txt", ".bin")}
    write_json(folders["transforms"], transforms_of(toy))
    for suffix in (".txt", ".bin"):
        write_colmap(toy, folders[suffix], suffix)
    scenes = {name: load_scene(folder, "train", 1, AS_IT_IS) for name, folder in folders.items()}
    assert scenes[".txt"].fingerprint() == scenes[".bin"].fingerprint()
    yx = np.argwhere(np.ones(toy.size[::-1]))[::97]
    trained = [i for i in range(len(toy.names)) if i % 8]
    for name in ("transforms", ".bin"):
        for view in (0, 5, len(trained) - 1):
            pose = toy.camtoworlds[trained[view]]
            rays = cast_rays(scenes[name], view, yx)
            np.testing.assert_allclose(rays["directions"], directions_of(pose, toy.intrinsics, yx), atol=1e-6)
            np.testing.assert_allclose(rays["origins"][0], pose[:3, 3], atol=1e-6)
            np.testing.assert_allclose(rays["pixels"], toy.images[trained[view]][yx[:, 0], yx[:, 1]] / 255, atol=1e-7)


@pytest.mark.golden
def test_the_cameras_of_the_llff_loader_give_its_rays(golden_dir, tmp_path):
    """In the same world: the cameras that it has placed are written down as a capture, and left where they are."""
    source, data = golden_dir / "scenes" / "beer_360", DataConfig(factor=8, spherify=True, near=0.1, far=2.0)
    placed = llff.read_capture(source, data)
    toy = toy_of_llff(source, 8)
    toy.camtoworlds[:, :3] = placed.camtoworlds
    toy.intrinsics = (placed.focals[0], placed.focals[0], *toy.intrinsics[2:])
    here = DataConfig(normalize=False, near=0.1, far=2.0)
    folders = {name: write_images(toy, tmp_path / name) for name in LAYOUTS}
    write_json(folders["transforms"], transforms_of(toy))
    write_colmap(toy, folders["colmap"])
    for num_levels in (1, 3):
        expected = load_scene(source, "train", num_levels, data)
        for folder in folders.values():
            scene = load_scene(folder, "train", num_levels, here)
            assert [image.shape for image in scene.images] == [image.shape for image in expected.images]
            for view in (0, 1, 60 * num_levels + num_levels - 1):
                np.testing.assert_array_equal(scene.images[view], expected.images[view])
                yx = np.argwhere(np.ones(scene.images[view].shape[:2]))[::31]
                theirs = cast_rays(expected, view, yx)
                for name, values in cast_rays(scene, view, yx).items():
                    np.testing.assert_allclose(values, theirs[name], atol=1e-6, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cameras_without_an_image_are_refused_or_left_out(toy, tmp_path, layout, caplog):
    folder = write_capture(toy, tmp_path / "desk", layout)
    for name in ("002", "004"):
        (folder / f"images/{name}.png").unlink()
    with pytest.raises(DataError, match=r"002\.png' does not exist in .* data\.missing_images: skip"):
        load_scene(folder, "train", 1, DataConfig())
    data = DataConfig(missing_images="skip")
    names = {name for split in ("train", "test") for name in load_scene(folder, split, 1, data).names}
    assert names == {f"images/{name}" for name in toy.names} - {"images/002.png", "images/004.png"}
    assert f"2 of {len(toy.names)} images are not there and left out: " in caplog.text
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"000\.png' does not exist in"):
        load_scene(folder, "train", 1, data)
