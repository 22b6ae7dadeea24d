"""`data.box`: samples lie within a box that holds the scene, and what misses it is empty."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stopped import StopAt, same, weights

from mipnerf import cli
from mipnerf.bench.speed import make_trainer
from mipnerf.cameras import Cameras, image_rays, within_box
from mipnerf.config import DataConfig, OperationConfig
from mipnerf.config.runs import run_from_settings
from mipnerf.errors import CheckpointError, ConfigError, Interrupted
from mipnerf.evaluation.views import Evaluator, Trained
from mipnerf.network.model import MipNerf
from mipnerf.network.rendering import render_image, render_rays
from mipnerf.training.batching import RayBatcher, masked_to_box
from mipnerf.training.loop import train

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")
# The cameras of `small_scene` are 4 from the origin, and see all of this and more.
BOX = [-0.5, -0.4, -0.3, 0.5, 0.4, 0.6]
COORDINATE = st.floats(-3, 3, width=32)
STEPS = 4001


def ends_by_trial(origin, direction, near, far, box):
    """First and last of many points of a ray that lie within the box; nothing where none does."""
    t = torch.linspace(near, far, STEPS, dtype=torch.float64)
    points = origin.double() + t[:, None] * direction.double()
    inside = t[((points >= box[0].double()) & (points <= box[1].double())).all(-1)]
    return (float(inside[0]), float(inside[-1])) if len(inside) else None


@settings(deadline=None)
@given(st.tuples(*[COORDINATE] * 3), st.tuples(*[st.sampled_from([-1.0, 0.0, 0.3, 1.0])] * 3))
def test_rays_end_where_points_along_them_leave_the_box(origin, direction):
    origin, direction, box = torch.tensor(origin), torch.tensor(direction), torch.tensor(BOX).view(2, 3)
    assume((origin - box).abs().min() > 1e-3)  # a ray within a face is neither in nor out
    near, far = torch.tensor([0.5]), torch.tensor([4.5])
    first, last = within_box(origin, direction, near, far, box)
    assert 0.5 <= first <= last <= 4.5
    expected, step = ends_by_trial(origin, direction, 0.5, 4.5, box), 4 / (STEPS - 1)
    if expected is None:
        # It may still graze a corner, between two points.
        assert last - first <= 2 * step
    else:
        assert (float(first), float(last)) == pytest.approx(expected, abs=1.01 * step)


def test_without_a_box_rays_go_from_near_to_far(small_scene):
    rays = image_rays(Cameras.from_scene(small_scene, data=DataConfig()), 0, 8, 8)
    assert torch.equal(rays.near, torch.full((64, 1), 2.0))
    assert torch.equal(rays.far, torch.full((64, 1), 6.0))


def model_with_fog(run):
    """A network whose density is high everywhere."""
    torch.manual_seed(0)
    model = MipNerf(run.model)
    torch.nn.init.constant_(model.mlp.density_layer.bias, 5.0)
    return model


@pytest.mark.parametrize("white_bkgd", [True, False])
def test_a_pixel_whose_ray_misses_the_box_is_background(small_scene, small_run, white_bkgd):
    cameras, model = Cameras.from_scene(small_scene, data=DataConfig(box=BOX)), model_with_fog(small_run)
    rays = image_rays(cameras, 0, 8, 8)
    misses = ~rays.meet_box
    assert 0 < misses.sum() < 64
    image = render_image(model, cameras, 0, 8, 8, white_bkgd)
    rgb, acc = image.rgb.view(-1, 3), image.acc.flatten()
    assert torch.equal(rgb[misses], torch.full_like(rgb[misses], float(white_bkgd)))
    assert torch.equal(acc[misses], torch.zeros_like(acc[misses]))
    assert (acc[~misses] > 0.01).all()
    # The network says so itself, if it is asked.
    for seen, asked in zip((rgb, image.distance.flatten(), acc), render_rays(model, rays, white_bkgd), strict=True):
        torch.testing.assert_close(seen, asked, atol=1e-6, rtol=1e-5)


def test_a_view_that_misses_the_box_altogether_is_background(small_scene, small_run):
    cameras = Cameras.from_scene(small_scene, data=DataConfig(box=[90, 90, 90, 91, 91, 91]))
    image = render_image(model_with_fog(small_run), cameras, 0, 8, 8, white_bkgd=True)
    assert torch.equal(image.rgb, torch.ones(8, 8, 3))
    assert torch.equal(image.acc, torch.zeros(8, 8))


def test_a_box_around_everything_changes_no_pixel(small_scene, small_run):
    model = model_with_fog(small_run)
    images = [
        render_image(model, Cameras.from_scene(small_scene, data=DataConfig(box=box)), 0, 8, 8, True)
        for box in (None, [-50, -50, -50, 50, 50, 50])
    ]
    assert all(torch.equal(one, other) for one, other in zip(*images, strict=True))


def names_of(rays):
    """Rays as what can be compared in spite of rounding."""
    return {tuple(round(value, 4) for value in ray) for ray in torch.cat([rays.origins, rays.directions], 1).tolist()}


@pytest.mark.parametrize("batching", ["all_images", "single_image", "all_levels"])
def test_batches_have_rays_that_meet_the_box_and_all_of_them(small_scene, batching):
    data = DataConfig(box=BOX, batching=batching)
    drawn = set()
    batcher = RayBatcher(small_scene, 512, data)
    for _ in range(20):
        rays = next(batcher).rays
        assert rays.meet_box.all()
        drawn |= names_of(rays)
    cameras, expected = Cameras.from_scene(small_scene, data=data), set()
    for view in range(small_scene.num_views):
        rays = image_rays(cameras, view, small_scene.heights[view], small_scene.widths[view])
        expected |= names_of(rays[rays.meet_box])
    assert drawn == expected


def test_masks_and_views_that_miss_the_box_are_left_out(small_scene):
    data = DataConfig(box=BOX)
    half = [np.arange(image.shape[1]) < image.shape[1] // 2 for image in small_scene.images]
    masks = [np.broadcast_to(columns, image.shape[:2]) for columns, image in zip(half, small_scene.images, strict=True)]
    turned = small_scene.camtoworlds.copy()
    turned[:2, :, :3] *= [-1, 1, -1]  # the first camera looks away, at both levels
    found = masked_to_box(replace(small_scene, masks=masks, camtoworlds=turned), data)
    assert found.views.tolist() == [1, 1, 2, 2]
    assert all(0 < mask.sum() < mask.size // 2 for mask in found.masks[::2])
    assert not any(mask[:, mask.shape[1] // 2 :].any() for mask in found.masks)
    with pytest.raises(ConfigError, match=r"no training camera sees data\.box"):
        masked_to_box(small_scene, DataConfig(box=[90, 90, 90, 91, 91, 91]))


def test_it_trains_otherwise_and_the_same_on_any_number_of_threads(tmp_path, run_with, small_scene):
    for name, box, threads in (("all", None, 1), ("one", BOX, 1), ("three", BOX, 3)):
        run = run_with(data={"box": box}, train={"max_steps": 8, "precision": "float32"})
        train(run, OPERATION, small_scene, tmp_path / name, threads=threads)
    assert not same(weights(tmp_path / "all"), weights(tmp_path / "one"))
    assert same(weights(tmp_path / "one"), weights(tmp_path / "three"))
    assert all(torch.isfinite(values).all() for values in weights(tmp_path / "one").values())


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch, run_with, small_scene):
    run = run_with(data={"box": BOX})
    train(run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    StopAt(monkeypatch, 8)
    with pytest.raises(Interrupted):
        train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    train(run, OPERATION, small_scene, tmp_path / "killed", threads=1)
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_views_of_another_box_are_rendered_again(run_with, small_scene):
    model = MipNerf(run_with().model)

    def keys(box):
        trained = Trained(model, run_with(data={"box": box}))
        return Evaluator.create(trained, OPERATION, threads=1).view_keys(small_scene, 0)

    assert keys(BOX) == keys(list(BOX)) != keys([*BOX[:5], 0.7])
    assert keys(BOX) != keys(None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.box=[0,0,0,1,1]"], "at least 6 items"),
        (["data.box=[0,0,0,1,1,0]"], "holds nothing; give x, y and z of the lowest corner, then of the highest"),
        ([f"data.box={BOX}", "model.ray_shape=point", "model.num_fine_samples=8"], "data.box does not go with"),
        ([f"data.box={BOX}", "model.contraction=mip360"], "set data.box to null"),
    ],
)
def test_a_box_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        run_from_settings("multiscale_blender", "mipnerf", "lego", settings)


def test_the_reference_is_given_no_network_that_knows_only_a_box(tmp_path, monkeypatch, run_with, small_scene):
    train(run_with(data={"box": BOX}, train={"max_steps": 1}), OPERATION, small_scene, tmp_path, threads=1)
    monkeypatch.setattr(sys, "argv", ["mipnerf", "export", str(tmp_path / "model.pt"), str(tmp_path / "checkpoint_1")])
    with pytest.raises(CheckpointError, match="export networks trained without one"):
        cli.main()
    assert not (tmp_path / "checkpoint_1").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], BOX),
        (["--bounds", "-1", "-1", "-1", "1", "1", "0.1"], [*BOX[:5], 0.1]),
        (["--bounds", "0", "0", "0", "0.1", "0.2", "0.3"], [0, 0, 0, 0.1, 0.2, 0.3]),
    ],
)
def test_a_mesh_is_sought_in_the_box_of_the_training(tmp_path, monkeypatch, run_with, small_scene, options, expected):
    pytest.importorskip("skimage", reason="the extra `mesh` is not installed: pip install -e '.[mesh]'")
    from mipnerf.views import mesh, renderer

    sought = []
    monkeypatch.setattr(renderer, "load_view", lambda *arguments: small_scene)
    monkeypatch.setattr(mesh, "extract_mesh", lambda renderer, bounds, *rest: sought.append(bounds))
    monkeypatch.setattr(mesh, "write_ply", lambda *arguments: None)
    train(run_with(data={"box": BOX}, train={"max_steps": 1}), OPERATION, small_scene, tmp_path, threads=1)
    arguments = [tmp_path / "model.pt", "--data", tmp_path, "--output", tmp_path / "mesh.ply", *options]
    monkeypatch.setattr(sys, "argv", ["mipnerf", "mesh", *map(str, arguments)])
    cli.main()
    np.testing.assert_allclose(sought, [np.reshape(expected, (2, 3))])


@pytest.mark.parametrize(("empty_distance", "expected"), [("near", 2.0), ("far", 6.0)])
def test_the_distance_of_what_misses_the_box_is_that_of_nothing(small_scene, run_with, empty_distance, expected):
    model = MipNerf(run_with(model={"empty_distance": empty_distance}).model)
    cameras = Cameras.from_scene(small_scene, data=DataConfig(box=BOX))
    misses = ~image_rays(cameras, 0, 8, 8).meet_box
    image = render_image(model, cameras, 0, 8, 8, True)
    assert image.distance.flatten()[misses].unique().tolist() == [expected]


def test_finer_rays_have_the_box_too(small_scene):
    coarse = Cameras.from_scene(small_scene, data=DataConfig(box=BOX))
    fine = image_rays(coarse.supersampled(2), 0, 16, 16)
    shares = [float(rays.meet_box.float().mean()) for rays in (fine, image_rays(coarse, 0, 8, 8))]
    assert shares[0] == pytest.approx(shares[1], abs=0.1)
    assert shares[0] < 0.9


def test_a_made_up_scene_is_timed_without_the_box(run_with):
    trainer = make_trainer(run_with(data={"box": [90, 90, 90, 91, 91, 91]}), OPERATION, 1, "float32")
    assert trainer.run.data.box is None
