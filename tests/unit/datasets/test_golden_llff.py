"""The LLFF loader, its poses, paths and rays, forward-facing and spherified, against the JAX reference."""

from types import SimpleNamespace

import numpy as np
import pytest
from scene_files import cast_rays

from mipnerf.config import DataConfig
from mipnerf.datasets.captures.poses import recenter_poses, scale_poses
from mipnerf.datasets.llff import load_scene, read_capture, read_poses_bounds, render_path
from mipnerf.pixels import integer_tensor, to_rgb

VIEWS = {
    "ff": ["train0", "train11", "test0", "test1", "render0", "render37", "render119"],
    "360": ["train0", "train61", "test0", "test8", "render0", "render37", "render119"],
}
CASES = [(kind, view) for kind, views in VIEWS.items() for view in views]


@pytest.fixture(scope="module")
def captures(golden_dir):
    """Of each kind: the golden file, its arrays, the folder, and the scenes of both splits and of the path."""

    def capture(kind: str) -> SimpleNamespace:
        folder, data = golden_dir / "scenes" / f"beer_{kind}", DataConfig(factor=8, spherify=kind == "360")
        with np.load(golden_dir / f"data_llff_{kind}.npz") as arrays:
            scenes = {split: load_scene(folder, split, data) for split in ("train", "test")}
            scenes["render"] = render_path(folder, data)
            return SimpleNamespace(
                file=f"data_llff_{kind}", arrays=dict(arrays), folder=folder, data=data, scenes=scenes
            )

    return {kind: capture(kind) for kind in VIEWS}


@pytest.mark.parametrize("kind", VIEWS)
def test_poses_and_bounds_are_equal_and_those_that_face_forward_bit_by_bit(captures, compare, kind):
    case = captures[kind]

    def equal(name: str, values: np.ndarray, atol: float = 0.0) -> None:
        assert values.dtype == case.arrays[name].dtype
        compare(f"{case.file}/{name}", values, case.arrays[name], atol=atol)

    # The libraries of linear algebra of other CPUs round some sums of a circle's frame otherwise.
    solved = 1e-15 if case.data.spherify else 0.0

    matrices, bounds = read_poses_bounds(case.folder / "poses_bounds.npy")
    capture = read_capture(case.folder, case.data)
    # The reference appends height, width and focal length to each pose.
    hwf = np.array([*capture.size[::-1], capture.focals[0]])

    def with_hwf(poses: np.ndarray) -> np.ndarray:
        column = np.broadcast_to(hwf[:, None], (*poses.shape[:2], 1))
        return np.concatenate([poses, column], axis=-1).astype(poses.dtype)

    poses, bounds = scale_poses(matrices[:, :, :4], bounds)
    equal("poses_scaled", with_hwf(poses))
    equal("test.bds_scaled", bounds)
    equal("poses_recentered", with_hwf(recenter_poses(poses)))
    if case.data.spherify:
        equal("train.bds_scaled", bounds)
        for split in ("train", "test"):
            equal(f"{split}.poses_spherified", with_hwf(capture.camtoworlds), solved)
            equal(f"{split}.bds_spherified", capture.bounds, solved)
    for split in ("train", "test"):
        scene, expected = case.scenes[split], case.arrays[f"{split}.camtoworlds"]
        equal(f"{split}.camtoworlds", scene.camtoworlds.astype(expected.dtype), solved)
        compare(f"{case.file}/{split}.n_examples", scene.num_views, case.arrays[f"{split}.n_examples"])
        compare(f"{case.file}/{split}.hw", scene.images[0].shape[:2], case.arrays[f"{split}.hw"])
        compare(f"{case.file}/{split}.focal", 1 / scene.pix2cams[0, 0, 0], case.arrays[f"{split}.focal"], rtol=1e-15)


@pytest.mark.parametrize("kind", VIEWS)
def test_render_path(captures, compare, kind):
    case = captures[kind]
    path, expected = case.scenes["render"].camtoworlds, case.arrays["render_poses"]
    # The spiral is exact in float32; on the circle the radius, a 1, is computed in another order.
    compare(f"{case.file}/render_poses", path, expected, atol=1e-15 if case.data.spherify else 0)
    compare(f"{case.file}/render_path.n_examples", len(path), case.arrays["render_path.n_examples"])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_rays_and_pixels(captures, compare, kind, name):
    case = captures[kind]
    split = name.rstrip("0123456789")
    view, scene = int(name.removeprefix(split)), case.scenes[split]
    for key, values in cast_rays(scene, view, case.arrays[f"{name}.yx"], case.data, white_bkgd=False).items():
        if f"{name}.{key}" in case.arrays:  # a path has no pixels
            compare(f"{case.file}/{name}.{key}", values, case.arrays[f"{name}.{key}"], atol=1e-6, rtol=1e-6)
    compare(f"{case.file}/{name}.hw", scene.images[view].shape[:2], case.arrays[f"{name}.hw"])
    if split != "render":
        mean = to_rgb(integer_tensor(scene.images[view]), False, scene.max_value).double().mean((0, 1))
        compare(f"{case.file}/{name}.image_mean", mean, case.arrays[f"{name}.image_mean"], atol=1e-6)
