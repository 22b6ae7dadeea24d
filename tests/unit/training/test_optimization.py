import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from mipnerf.cameras import Cameras
from mipnerf.config import DataConfig, ModelConfig, TrainConfig
from mipnerf.datasets.made_up import made_up_scene
from mipnerf.network import model as network_model
from mipnerf.network.model import MipNerf
from mipnerf.training.adam import Adam
from mipnerf.training.batching import Batch, RayBatcher
from mipnerf.training.muon import orthogonalized
from mipnerf.training.optimization import (
    batch_gradients,
    clip_gradients_,
    compute_loss,
    make_optimizer,
    train_step,
    weight_l2,
)
from mipnerf.workers import Workers


def slow_loss(outputs, pixels, lossmult, coarse_loss_mult, ignore_area):
    """The loss, a ray and a channel at a time."""
    losses = []
    for (rgb,) in outputs:
        total, weight = 0.0, 0.0
        for ray in range(len(pixels)):
            mask = 1.0 if ignore_area else lossmult[ray, 0].item()
            weight += mask
            for channel in range(3):
                total += mask * (rgb[ray, channel] - pixels[ray, channel]).item() ** 2
        losses.append(total / weight)
    return coarse_loss_mult * sum(losses[:-1]) + losses[-1], losses


@pytest.mark.parametrize("num_levels", [1, 2, 3])
@pytest.mark.parametrize("ignore_area", [False, True])
def test_loss_against_a_loop(num_levels, ignore_area):
    torch.manual_seed(0)
    outputs = [(torch.rand(7, 3, dtype=torch.float64),) for _ in range(num_levels)]
    pixels, lossmult = torch.rand(7, 3, dtype=torch.float64), 4.0 ** torch.randint(0, 4, (7, 1)).double()
    config = TrainConfig(coarse_loss_mult=0.3, disable_multiscale_loss=ignore_area)
    loss, losses = slow_loss(outputs, pixels, lossmult, 0.3, ignore_area)
    result = compute_loss(outputs, pixels, lossmult, config)
    assert result.loss.item() == pytest.approx(loss, rel=1e-12)
    assert result.losses.tolist() == pytest.approx(losses, rel=1e-12)


def test_weight_l2_is_the_mean_square_of_all_parameters():
    parameters = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    assert weight_l2(parameters).item() == pytest.approx(14 / 3)


def test_gradients_are_clipped_by_value_then_by_norm():
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([30.0, 4.0]), torch.tensor([-30.0])
    clip_gradients_(parameters, 0, 0)
    assert parameters[0].grad.tolist() == [30, 4]
    clip_gradients_(parameters, 3, 0)
    assert [*parameters[0].grad.tolist(), *parameters[1].grad.tolist()] == [3, 3, -3]
    clip_gradients_(parameters, 0, 1)
    torch.testing.assert_close(torch.cat([p.grad for p in parameters]), torch.tensor([1.0, 1, -1]) / 3**0.5)
    clip_gradients_(parameters, 0, 10)
    torch.testing.assert_close(torch.cat([p.grad for p in parameters]), torch.tensor([1.0, 1, -1]) / 3**0.5)


def one_step(run, scene, **options):
    """Losses and gradients of one step from the same start."""
    torch.manual_seed(0)
    model = MipNerf(run.model)
    batch: Batch = next(RayBatcher(scene, run.train.batch_size, seed=5))
    losses = train_step(model, make_optimizer(model), batch, 1e-3, run.train, run.data, **options)
    return losses, [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("part", [1, 5, 32, 1000])
@pytest.mark.parametrize("ignore_area", [False, True])
def test_a_split_batch_has_the_gradient_of_the_whole(run_with, small_scene, part, ignore_area):
    run = run_with(train={"randomized": False, "disable_multiscale_loss": ignore_area, "weight_decay_mult": 0.1})
    losses, gradients = one_step(run, small_scene)
    split_losses, split_gradients = one_step(run, small_scene, microbatch_rays=part)
    torch.testing.assert_close(split_losses, losses)
    for split, whole in zip(split_gradients, gradients, strict=True):
        torch.testing.assert_close(split, whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_threads_do_not_change_a_bit(run_with, small_scene, precision):
    options = {"microbatch_rays": 5, "precision": precision}
    one, *others = (
        one_step(run_with(), small_scene, workers=Workers(count, torch.device("cpu")), **options) for count in (1, 2, 5)
    )
    for losses, gradients in others:
        assert torch.equal(losses, one[0])
        assert all(torch.equal(a, b) for a, b in zip(gradients, one[1], strict=True))


SEEDS = [(3, 7), (3, 7), (3, 8), (4, 7)]


def test_parts_of_a_batch_draw_their_own_jitter(run_with, small_scene):
    same = [one_step(run_with(), small_scene, microbatch_rays=8, seed=seed)[0] for seed in SEEDS]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])
    assert not torch.equal(same[0], same[3])


@pytest.mark.parametrize(
    "change",
    [
        {"coarse_loss_mult": 0.7},
        {"weight_decay_mult": 5.0},
        {"grad_max_norm": 0.001},
        {"grad_max_val": 0.0001},
        {"disable_multiscale_loss": True},
        {"randomized": False},
    ],
    ids=str,
)
def test_every_option_changes_the_gradient(run_with, small_scene, change):
    def gradients(run):
        return one_step(run, small_scene)[1]

    pairs = zip(gradients(run_with()), gradients(run_with(train=change)), strict=True)
    assert any(not torch.allclose(a, b, rtol=1e-5, atol=0) for a, b in pairs)


def test_the_black_background_is_learned_from_uncomposited_colours(run_with, small_scene):
    white, black = (RayBatcher(small_scene, 16, DataConfig(white_bkgd=value), seed=0) for value in (True, False))
    assert not torch.equal(next(white).pixels, next(black).pixels)
    run = run_with(data={"white_bkgd": False})
    assert run.data == DataConfig(white_bkgd=False)
    assert torch.isfinite(one_step(run, small_scene)[0]).all()


def test_bfloat16_products_give_nearly_the_same_losses(run_with, small_scene):
    run = run_with(train={"randomized": False})
    losses, gradients = one_step(run, small_scene)
    half_losses, half_gradients = one_step(run, small_scene, precision=torch.bfloat16)
    torch.testing.assert_close(half_losses, losses, rtol=2e-2, atol=0)
    assert half_losses.dtype == torch.float32
    assert not torch.equal(half_losses, losses)
    for half, whole in zip(half_gradients, gradients, strict=True):
        assert half.dtype == torch.float32
        assert (half - whole).norm() <= 0.1 * whole.norm() + 1e-4


def test_adam_is_that_of_the_reference(run_with, small_scene):
    torch.manual_seed(0)
    run = run_with()
    model = MipNerf(run.model)
    optimizer = make_optimizer(model)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()}
    batcher = RayBatcher(small_scene, 32)
    for step in range(1, 4):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        train_step(model, optimizer, next(batcher), 1e-2, run.train, run.data)
        for name, p in model.named_parameters():
            m, v = moments[name]
            m.mul_(0.9).add_(0.1 * p.grad)
            v.mul_(0.999).add_(0.001 * p.grad**2)
            update = 1e-2 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            torch.testing.assert_close(p.detach(), before[name] - update, atol=2e-6, rtol=1e-5)


def test_adam_takes_the_steps_of_pytorchs_and_goes_on_from_its_state():
    def steps(count):
        """A parameter after so many steps, and the optimizer, for our Adam and for PyTorch's."""
        generator = torch.Generator().manual_seed(3)
        start = torch.randn(7, 5, generator=generator)
        ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
        mine, other = Adam([ours]), torch.optim.Adam([theirs], betas=(0.9, 0.999), eps=1e-8, fused=True)
        for i in range(count):
            ours.grad = theirs.grad = torch.randn(7, 5, generator=generator)
            other.param_groups[0]["lr"] = 1e-2 / (i + 1)
            mine.set_learning_rate(1e-2 / (i + 1))
            mine.step()
            other.step()
        return ours, mine, theirs, other

    ours, mine, theirs, other = steps(5)
    assert torch.equal(ours, theirs)
    later = Adam([ours])
    later.load_state_dict(other.state_dict())
    for name, value in mine.state[ours].items():
        assert torch.equal(value, other.state[theirs][name])
        assert torch.equal(value, later.state[ours][name])


def test_training_does_not_import_the_compiler_of_pytorch():
    """It takes longer than the rest of PyTorch."""
    code = """
import sys, torch
from mipnerf.training.optimization import make_optimizer
layer = torch.nn.Linear(2, 2)
optimizer = make_optimizer(layer)
layer(torch.ones(1, 2)).sum().backward()
optimizer.set_learning_rate(0.1)
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("train", "model"),
    [
        ({}, {}),
        ({"grad_max_norm": 1.0, "grad_max_val": 1.0, "weight_decay_mult": 1e-3}, {"num_levels": 3}),
        ({"backward_share": 0.15}, {"single_mlp": False, "proposal_depth": 2}),
        ({"disable_multiscale_loss": True}, {"ray_shape": "point", "num_fine_samples": 8}),
    ],
    ids=str,
)
def test_nothing_of_a_step_depends_on_values_that_the_host_would_wait_for(monkeypatch, train, model):
    """Tensors without values stand for those of a GPU; only PyTorch's autocast does not know them."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(network_model, "dtype_of_products", lambda x: x.dtype)
    data = DataConfig(box=[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    cameras = Cameras.from_scene(made_up_scene(), torch.device("meta"), data)
    shape = {"net_depth": 4, "net_width": 32, "net_width_condition": 16, "num_samples": 8, "max_deg_point": 6}
    config = TrainConfig(**train)
    with torch.device("meta"):
        network = MipNerf(ModelConfig(**shape | model))
        network.backward_share = config.backward_share
        index = torch.empty(32, dtype=torch.long)
        batch = Batch(cameras.cast(index, index, index), torch.empty(32, 3), torch.empty(32, 1))
        generators = dict.fromkeys((0, 16))
        losses, gradients = batch_gradients(network, batch, config, data, microbatch_rays=16, generators=generators)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        weight_l2(network.parameters()).backward()
        clip_gradients_(network.parameters(), config.grad_max_val, config.grad_max_norm)
        orthogonalized(torch.empty(3, 16, 32))
    assert losses.shape == (network.config.num_levels,)
    with pytest.raises(RuntimeError, match="meta"):
        losses.sum().item()
