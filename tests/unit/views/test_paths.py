import numpy as np
import pytest
from capture_files import make_toy, transforms_of, write_images, write_json
from scene_files import write_llff_scene, write_scene

from mipnerf.config import DataConfig, DatasetConfig
from mipnerf.datasets.llff import render_path
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError
from mipnerf.views.paths import Orbit, camera_path, spherical_path, spherical_pose, zoom_scales


def assert_rigid(poses):
    rotations = poses[:, :, :3]
    np.testing.assert_allclose(
        np.swapaxes(rotations, 1, 2) @ rotations, np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)


def assert_orbits(poses, center, up, radius, height):
    """Evenly around `center`, at `height` above it, looking at it with up on top."""
    assert_rigid(poses)
    offsets = poses[:, :, 3] - center
    np.testing.assert_allclose(offsets @ up, height, atol=1e-9)
    across = offsets - height * up
    np.testing.assert_allclose(np.linalg.norm(across, axis=-1), radius)
    steps = (across * np.roll(across, -1, axis=0)).sum(-1) / radius**2
    np.testing.assert_allclose(steps, np.cos(2 * np.pi / len(poses)), atol=1e-9)  # from the last to the first, too
    np.testing.assert_allclose(poses[:, :, 2], offsets / np.hypot(radius, height), atol=1e-9)
    assert (poses[:, :, 1] @ up > 0).all()


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0.6, 0, -0.8), (1, 0, 0)])
def test_a_circle_is_even_and_level_and_looks_at_its_centre(up):
    orbit = Orbit(np.array([1.0, -2.0, 0.5]), np.array(up, dtype=float), 3.0, 2.0)
    assert_orbits(spherical_path(orbit, 7), *orbit)


def test_angles_mean_azimuth_elevation_and_distance():
    np.testing.assert_allclose(spherical_pose(0, 0, 2), [[0, 0, 1, 2], [1, 0, 0, 0], [0, 1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(spherical_pose(90, 30, 4)[:, 3], [0, 4 * np.sqrt(3) / 2, 2], atol=1e-12)
    np.testing.assert_allclose(spherical_pose(0, 90, 1), [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], atol=1e-12)
    assert_rigid(np.stack([spherical_pose(theta, phi, 3) for theta in (-170, 20) for phi in (-90, -30, 89.999)]))


def test_the_zoom_takes_away_equal_shares_down_to_the_coarsest_level_of_the_paper():
    scales = zoom_scales(13)
    assert (scales[0], scales[-1]) == (1, 1 / 8)
    np.testing.assert_allclose(scales[1:] / scales[:-1], 8 ** (-1 / 12))
    assert zoom_scales(1) == [1]


def test_a_blender_scene_is_gone_around_and_away_from(tmp_path):
    folder = write_scene(tmp_path, width=16, height=12)
    first = load_scene(folder, "test", 1, DataConfig(), view=0)
    circle = camera_path(folder, DataConfig(near=1.5), "spherical", 5)
    distance = np.linalg.norm(first.camtoworlds[0, :, 3])
    up, height = np.array([0.0, 0.0, 1.0]), distance / 2
    assert_orbits(circle.scene.camtoworlds, np.zeros(3), up, distance * np.sqrt(3) / 2, height)
    assert (circle.scales == 1).all()
    assert (circle.scene.nears == 1.5).all()
    zoom = camera_path(folder, DataConfig(), "zoom", 5)
    for scene in (circle.scene, zoom.scene):
        np.testing.assert_array_equal(scene.pix2cams, np.repeat(first.pix2cams, 5, axis=0))
        assert {image.shape for image in scene.images} == {(12, 16, 3)}
        assert not any(image.any() for image in scene.images)
    np.testing.assert_array_equal(zoom.scene.camtoworlds, np.repeat(first.camtoworlds, 5, axis=0))
    np.testing.assert_array_equal(zoom.scales, zoom_scales(5))
    with pytest.raises(ConfigError, match="no path 'spiral'; it has spherical and zoom"):
        camera_path(folder, DataConfig(), "spiral", 5)


def test_captures_that_face_forward_have_the_spiral_of_the_reference(tmp_path):
    folder, data = write_llff_scene(tmp_path / "fern"), DataConfig(near=0.1)
    path = camera_path(folder, data, "spiral", 6)
    np.testing.assert_array_equal(path.scene.camtoworlds, render_path(folder, data, 6).camtoworlds)
    assert path.scene.ndc
    assert (path.scene.nears == 0.1).all()
    zoom = camera_path(folder, data, "zoom", 3).scene
    np.testing.assert_array_equal(zoom.camtoworlds[2:], load_scene(folder, "test", 1, data, view=0).camtoworlds)
    assert zoom.ndc
    with pytest.raises(ConfigError, match="no path 'spherical'; it has spiral and zoom"):
        camera_path(folder, data, "spherical", 6)


def test_paths_of_the_reference_scenes_are_those_of_the_loader(golden_dir):
    spiral = camera_path(golden_dir / "scenes" / "beer_ff", DataConfig(factor=8), "spiral", 8)
    expected = render_path(golden_dir / "scenes" / "beer_ff", DataConfig(factor=8), 8)
    np.testing.assert_array_equal(spiral.scene.camtoworlds, expected.camtoworlds)
    around = DataConfig(factor=8, spherify=True)
    circle = camera_path(golden_dir / "scenes" / "beer_360", around, "spherical", 8)
    expected = render_path(golden_dir / "scenes" / "beer_360", around, 9).camtoworlds
    # The reference ends with its first pose.
    np.testing.assert_allclose(expected[8], expected[0], atol=1e-9)
    np.testing.assert_array_equal(circle.scene.camtoworlds, expected[:8])


def upside_down(i, pose):
    """Every other camera turned by half a turn around its axis."""
    return (np.array(pose) @ np.diag([-1, -1, 1, 1] if i % 2 else [1, 1, 1, 1])).tolist()


def test_a_capture_is_gone_around_at_the_height_of_its_cameras(tmp_path):
    toy = make_toy()
    folder = write_images(toy, tmp_path)
    write_json(folder, transforms_of(toy))
    scene = camera_path(folder, DataConfig(), "spherical", 9).scene
    cameras = np.concatenate([load_scene(folder, s, 1, DataConfig()).camtoworlds for s in ("train", "test")])
    up = cameras[:, :, 1].mean(0)
    up /= np.linalg.norm(up)
    height = (cameras[:, :, 3] @ up).mean()
    radius = np.sqrt((cameras[:, :, 3] ** 2).sum(-1).mean() - height**2)
    assert_orbits(scene.camtoworlds, np.zeros(3), up, radius, height)
    # Neither around cameras that face one way, nor where every other is upside down.
    given = {"near": 1.0, "far": 5.0, "normalize": False}
    frames = transforms_of(toy)["frames"]
    for turned in (lambda i, pose: [[1, 0, 0, i], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]], upside_down):
        poses = [turned(i, frame["transform_matrix"]) for i, frame in enumerate(frames)]
        changed = [frame | {"transform_matrix": pose} for frame, pose in zip(frames, poses, strict=True)]
        write_json(folder, transforms_of(toy) | {"frames": changed})
        with pytest.raises(DataError, match="do not stand around anything; take the path zoom"):
            camera_path(folder, DataConfig(**given), "spherical", 9)
    write_json(folder, transforms_of(toy))
    # Where it was not brought to the origin, it is gone around where it is.
    moved = camera_path(folder, DataConfig(**given), "spherical", 9).scene.camtoworlds[:, :, 3]
    np.testing.assert_allclose(np.linalg.norm(moved - [1, 2, 0.5], axis=-1), np.linalg.norm(moved[0] - [1, 2, 0.5]))


def test_the_configuration_knows_the_paths_of_every_layout(tmp_path):
    """A dry run refuses what a job would."""
    write_scene(tmp_path / "blender")
    write_llff_scene(tmp_path / "llff")
    toy = make_toy()
    write_json(write_images(toy, tmp_path / "transforms"), transforms_of(toy))
    for layout, spherify in (("blender", False), ("llff", False), ("llff", True), ("transforms", False)):
        dataset = DatasetConfig(source="x", scenes=["x"], layout=layout, levels=1)
        data, known = DataConfig(spherify=spherify), dataset.video_paths(spherify)
        for path in known:
            assert len(camera_path(tmp_path / layout, data, path, 2).scales) == 2
        for path in {"spherical", "spiral", "zoom"}.difference(known):
            with pytest.raises(ConfigError, match=f"it has {' and '.join(known)}"):
                camera_path(tmp_path / layout, data, path, 2)
