import pytest
import torch

from mipnerf.cameras import Cameras, image_rays
from mipnerf.config import ModelConfig
from mipnerf.errors import CheckpointError
from mipnerf.interop import load_flax_params
from mipnerf.network import mip, model
from mipnerf.network.model import MLP, MipNerf, _apply_to_pair, _linear

SMALL = {"net_depth": 3, "net_width": 16, "net_width_condition": 8, "num_samples": 8, "max_deg_point": 4}


@pytest.fixture
def rays(small_scene):
    return image_rays(Cameras.from_scene(small_scene), 0, 8, 8)


def test_the_default_model_has_the_papers_parameters():
    assert sum(p.numel() for p in MipNerf(ModelConfig()).parameters()) == 612_740


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ray_shape": "cylinder"},
        {"lindisp": True},
        {"num_levels": 1},
        {"num_levels": 3},
        {"use_viewdirs": False},
        {"disable_integration": True},
        {"density_activation": "relu", "density_bias": 0.0, "rgb_padding": 0.0},
        {"density_noise": 1.0},
        {"rgb_activation": "relu"},
        {"net_activation": "softplus"},
        {"stop_level_grad": False},
        {"resample_padding": 0.0},
        {"net_depth": 1},
        {"net_depth": 5, "skip_layer": 2},
        {"net_depth": 3, "skip_layer": 1},
        {"net_depth_condition": 0},
        {"net_depth_condition": 2},
        {"min_deg_point": 1, "deg_view": 0},
        {"append_identity": True},
        {"single_mlp": False},
        {"single_mlp": False, "num_levels": 3},
        {"single_mlp": False, "proposal_depth": 2, "proposal_width": 5},
        {"empty_distance": "far"},
        {"contraction": "mip360"},
        {"contraction": "mip360", "contraction_radius": 2.5, "stop_level_grad": False},
        {"ray_shape": "point", "num_fine_samples": 12},
        {"ray_shape": "point", "num_fine_samples": 12, "single_mlp": False, "append_identity": True},
        {"ray_shape": "point", "num_fine_samples": 3, "num_levels": 3, "lindisp": True},
    ],
    ids=str,
)
def test_every_option_renders_and_learns(rays, change):
    torch.manual_seed(0)
    model = MipNerf(ModelConfig(**SMALL | change))
    outputs = model(rays, randomized=True, white_bkgd=True, generator=torch.Generator().manual_seed(0))
    assert len(outputs) == model.config.num_levels
    for rgb, distance, acc in outputs:
        assert rgb.shape == (64, 3)
        assert distance.shape == acc.shape == (64,)
        assert torch.isfinite(rgb).all()
        assert ((acc >= 0) & (acc <= 1 + 1e-6)).all()
        assert ((distance >= 2) & (distance <= 6)).all()
    sum(output[0].mean() for output in outputs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize(
    "change",
    [
        {"ray_shape": "cylinder"},
        {"lindisp": True},
        {"disable_integration": True},
        {"density_bias": 1.0},
        {"rgb_padding": 0.1},
    ],
    ids=str,
)
def test_an_option_changes_the_picture(rays, change):
    torch.manual_seed(0)
    model = MipNerf(ModelConfig(**SMALL))
    other = MipNerf(ModelConfig(**SMALL | change))
    other.load_state_dict(model.state_dict())
    difference = model(rays, False, True)[-1][0] - other(rays, False, True)[-1][0]
    assert difference.abs().max() > 1e-5


def test_only_randomized_rendering_draws_numbers(rays):
    model = MipNerf(ModelConfig(**SMALL, density_noise=1.0))
    first, second = (model(rays, False, True)[-1][0] for _ in range(2))
    assert torch.equal(first, second)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    model(rays, False, True, generator)
    assert torch.equal(before, generator.get_state())
    noisy = [model(rays, True, True, torch.Generator().manual_seed(seed))[-1][0] for seed in (0, 0, 1)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_background(rays):
    model = MipNerf(ModelConfig(**SMALL))
    white, black = model(rays, False, True)[-1], model(rays, False, False)[-1]
    torch.testing.assert_close(white[0], black[0] + (1 - black[2][:, None]))


def test_it_computes_in_the_precision_of_its_parameters(rays):
    model = MipNerf(ModelConfig(**SMALL)).double()
    double = type(rays)(**{name: value.double() for name, value in vars(rays).items()})
    assert model(double, False, True)[-1][0].dtype == torch.float64


def test_gradients_stop_between_levels_unless_told_otherwise(rays):
    gradients = {}
    for stop in (True, False):
        torch.manual_seed(0)
        model = MipNerf(ModelConfig(**SMALL, stop_level_grad=stop))
        model(rays, False, True)[-1][0].sum().backward()
        gradients[stop] = model.mlp.layers[0].weight.grad
    assert not torch.allclose(gradients[True], gradients[False])


def test_a_layer_of_a_pair_is_that_of_the_concatenation():
    layer = _linear(7, 5)
    hidden, extra = torch.randn(3, 4, 5), torch.randn(3, 1, 2)
    expected = layer(torch.cat([hidden, extra.expand(3, 4, 2)], -1))
    torch.testing.assert_close(_apply_to_pair(layer, hidden, extra), expected)


def test_all_layers_start_glorot_uniform_with_zero_biases():
    torch.manual_seed(0)
    for layer in MLP(ModelConfig(), 96, 27).linear_layers():
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std() > 0.5 * bound
        assert not layer.bias.any()


def test_foreign_parameters_must_match():
    model = MipNerf(ModelConfig(**SMALL))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="Dense_0"):
        load_flax_params(model, {})
    params = {}
    for i, layer in enumerate(model.mlp.linear_layers()):
        params[f"MLP_0/Dense_{i}/kernel"] = torch.randn(layer.in_features, layer.out_features).numpy()
        params[f"MLP_0/Dense_{i}/bias"] = torch.randn(layer.out_features).numpy()
    wrong = params | {"MLP_0/Dense_5/kernel": params["MLP_0/Dense_5/kernel"][:, :1]}
    with pytest.raises(CheckpointError, match="Dense_5/kernel is"):
        load_flax_params(model, wrong)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    load_flax_params(model, params)
    assert torch.equal(model.mlp.layers[0].weight, torch.tensor(params["MLP_0/Dense_0/kernel"]).T)


@pytest.mark.parametrize("append_identity", [False, True])
def test_the_encoding_is_exact_in_float32_and_doubled_where_the_network_reads_bfloat16(
    monkeypatch, rays, append_identity
):
    calls = []
    for module, name in ((mip, "integrated_pos_enc"), (model, "encode_by_doubling")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, original=original: calls.append(name) or original(*a))
    network = MipNerf(ModelConfig(num_samples=4, net_width=8, net_depth=2, append_identity=append_identity))
    exact = network(rays, False, True)
    with torch.autocast("cpu", torch.bfloat16):
        doubled = network(rays, False, True)
    assert calls == ["integrated_pos_enc"] * 2 + ["encode_by_doubling"] * 2
    assert doubled[-1][0].dtype == torch.float32
    torch.testing.assert_close(doubled[-1][0], exact[-1][0], atol=0.02, rtol=0)


def test_a_proposal_is_a_smaller_network_of_all_levels_but_the_last():
    torch.manual_seed(0)
    model = MipNerf(ModelConfig(**SMALL | {"single_mlp": False, "proposal_depth": 2, "proposal_width": 7}))
    shapes = [(layer.in_features, layer.out_features) for layer in model.coarse_mlp.linear_layers()]
    features, view = model.mlp.layers[0].in_features, 3 + 6 * model.config.deg_view
    assert shapes == [(features, 7), (7, 7), (7, 1), (7, 7), (7 + view, 4), (4, 3)]
    assert model.config.coarse.coarse == model.config.coarse
    plain = ModelConfig(**SMALL)
    assert plain.coarse is plain
    assert "proposal" not in str(plain.model_dump())


@pytest.mark.parametrize("change", [{}, {"single_mlp": False, "num_levels": 1}])
def test_a_proposal_without_a_network_of_its_own_is_refused(change):
    with pytest.raises(ValueError, match="proposal_depth 2 needs single_mlp false and num_levels of at least 2"):
        ModelConfig(proposal_depth=2, **change)
