import io
import os
import random
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from foreign_checkpoints import (
    SAMPLES,
    SIZES,
    flax_layers_of,
    pack,
    port_state,
    randomized,
    write_flax,
    write_lightning,
    write_port,
)

from mipnerf.config import ModelConfig
from mipnerf.errors import CheckpointError, ConfigError
from mipnerf.interop import export_flax, flax, flax_params, import_checkpoint, load_flax_params
from mipnerf.interop.flax import read_flax
from mipnerf.interop.importing import read_checkpoint
from mipnerf.network.model import MipNerf

WRITERS = {"flax": write_flax, "mipnerf-pytorch": write_port, "mipnerf_pl": write_lightning}


def make_model(**change) -> MipNerf:
    return randomized(MipNerf(ModelConfig(**SIZES | SAMPLES | change)))


def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "toy" / "mipnerf" / "box"


@pytest.fixture
def refused(tmp_path):
    """A function: (file, settings) -> the message with which its import is refused, nothing being written."""

    def refuse(path: Path, *settings: str, error: type[Exception] = CheckpointError) -> str:
        with pytest.raises(error) as caught:
            import_checkpoint(path, run_folder(tmp_path), settings)
        assert not run_folder(tmp_path).exists()
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"net_depth": 1},
        {"net_depth": 3, "skip_layer": 2},
        {"net_depth": 6, "skip_layer": 1},
        {"net_depth": 6, "skip_layer": 6},
        {"net_depth": 5, "skip_layer": 4},
        {"net_depth_condition": 0},
        {"use_viewdirs": False},
        {"deg_view": 0},
        {"append_identity": True},
        {"single_mlp": False},
    ],
    ids=str,
)
def test_the_sizes_follow_from_the_weights(tmp_path, change):
    model = make_model(**change)
    run = import_checkpoint(write_flax(tmp_path / "checkpoint_1", model), run_folder(tmp_path))
    imported = MipNerf(run.model)
    assert {name: value.shape for name, value in imported.state_dict().items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert run.model.skip_layer == model.config.skip_layer or model.config.net_depth <= model.config.skip_layer
    assert run.model.max_deg_point == 4


def test_degrees_are_counted_from_the_lowest(tmp_path):
    model = make_model(min_deg_point=2, max_deg_point=7)
    path = write_flax(tmp_path / "checkpoint_1", model)
    assert import_checkpoint(path, run_folder(tmp_path), ["model.min_deg_point=2"]).model.max_deg_point == 7


@pytest.mark.parametrize("single", [True, False], ids=["one network", "two networks"])
def test_parameters_come_back_exactly(tmp_path, single):
    model, other = make_model(single_mlp=single), make_model(single_mlp=single)
    load_flax_params(other, flax_params(model))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    export_flax(model, 1000, tmp_path / "checkpoint_1000")
    checkpoint = read_flax(tmp_path / "checkpoint_1000")
    assert checkpoint.step == 1000
    assert checkpoint.params.keys() == flax_params(model).keys()
    for name, value in flax_params(model).items():
        assert checkpoint.params[name].dtype == np.float32
        assert np.array_equal(checkpoint.params[name], value)


def test_parameters_may_be_nested_and_the_first_of_two_networks_is_the_coarse_one():
    model = make_model(single_mlp=False)
    tree = {"MLP_0": flax_layers_of(model.coarse_mlp), "MLP_1": flax_layers_of(model.mlp)}
    other = MipNerf(model.config)
    load_flax_params(other, tree)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_an_export_has_what_the_reference_restores(tmp_path):
    model = make_model()
    export_flax(model, 7, tmp_path / "new" / "checkpoint_7")
    content = msgpack.unpackb((tmp_path / "new" / "checkpoint_7").read_bytes(), strict_map_key=False)
    state, target = content["optimizer"]["state"], content["optimizer"]["target"]
    assert content.keys() == {"optimizer"}
    assert state["step"] == pack(np.array(7, np.int32))
    bias = flax_params(model)["MLP_0/Dense_0/bias"]
    assert target["params"]["MLP_0"]["Dense_0"]["bias"] == pack(bias)
    # The moments of its Adam.
    zeros = pack(np.zeros_like(bias))
    moments = state["param_states"]["params"]["MLP_0"]["Dense_0"]["bias"]
    assert moments == {"grad_ema": zeros, "grad_sq_ema": zeros}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["checkpoint_7"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"contraction": "mip360"}, "trained with model.contraction mip360"),
        ({"single_mlp": False, "proposal_depth": 1}, "trained with model.proposal_depth 1"),
    ],
)
def test_what_the_reference_has_not_is_not_exported(tmp_path, model, said):
    with pytest.raises(CheckpointError, match=said):
        export_flax(make_model(**model), 7, tmp_path / "checkpoint_7")
    assert not list(tmp_path.iterdir())


def test_large_arrays_are_joined_from_their_chunks(tmp_path):
    model = make_model()
    whole = read_flax(write_flax(tmp_path / "whole", model))
    pieces = read_flax(write_flax(tmp_path / "pieces", model, chunk=256))
    assert b"__msgpack_chunked_array__" in (tmp_path / "pieces").read_bytes()
    assert all(np.array_equal(value, pieces.params[name]) for name, value in whole.params.items())
    assert whole.step == pieces.step == 250_000


def test_bare_parameters_are_a_checkpoint_too(tmp_path):
    model = make_model()
    tree = {"params": {"MLP_0": flax_layers_of(model.mlp)}}
    (tmp_path / "params.msgpack").write_bytes(msgpack.packb(tree, default=pack))
    checkpoint = read_checkpoint(tmp_path / "params.msgpack")
    assert checkpoint.step is None
    assert np.array_equal(checkpoint.params["MLP_0/Dense_0/bias"], flax_params(model)["MLP_0/Dense_0/bias"])


def test_a_checkpoint_states_its_steps_and_hyper_parameters(tmp_path):
    model = make_model()
    stated = {"nerf.num_samples": 8, "nerf.rgb_padding": 0.0, "val.white_bkgd": False, "optimizer.lr_init": 1e-3}
    paths = {
        "flax": (write_flax(tmp_path / "a", model), 250_000, 128),
        "mipnerf-pytorch": (write_port(tmp_path / "b", model), 1234, 128),
        "mipnerf_pl": (write_lightning(tmp_path / "c", model, stated), 4321, 8),
    }
    for layout, (path, step, num_samples) in paths.items():
        assert read_checkpoint(path).layout == layout
        run = import_checkpoint(path, tmp_path / "toy" / "mipnerf" / path.name)
        assert (run.train.max_steps, run.model.num_samples) == (step, num_samples)
        # What the others computed in.
        assert run.train.precision == "float32"
    assert run.model.rgb_padding == 0
    assert run.data.white_bkgd is False
    settings = ["model.num_samples=16", "train.max_steps=5"]
    run = import_checkpoint(path, tmp_path / "toy" / "mipnerf" / "d", settings)
    assert (run.train.max_steps, run.model.num_samples, run.model.rgb_padding) == (5, 16, 0)


def test_contradictions_are_named(tmp_path, refused):
    path = write_flax(tmp_path / "checkpoint_1", make_model())
    message = refused(path, "model.net_width=32")
    assert message.startswith(f"{path}: model.net_width is said to be 32, but its weights are those of 16")
    assert "skip_layer" in refused(path, "model.skip_layer=2")
    path = write_lightning(tmp_path / "last.ckpt", make_model(), {"nerf.max_deg_point": 16})
    assert "model.max_deg_point is said to be 16, but its weights are those of 4" in refused(path)
    assert "num_sampels" in refused(path, "model.max_deg_point=4", "model.num_sampels=4", error=ConfigError)


def spoilt(model: MipNerf, **arrays: np.ndarray) -> dict:
    """The tree of `model` with other arrays, by names such as `Dense_0_kernel`."""
    layers = flax_layers_of(model.mlp)
    for name, array in arrays.items():
        layer, kind = name.rsplit("_", 1)
        layers[layer] = layers.get(layer, {}) | {kind: array}
    return {"params": {"MLP_0": layers}}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"Dense_3_kernel": np.zeros((16, 15), "f4")}, r"MLP_0/Dense_3/kernel is \(16, 15\); .* needs \(16, 16\)"),
        ({"Dense_3_bias": np.zeros((1, 16), "f4")}, r"MLP_0/Dense_3/bias is \(1, 16\)"),
        ({"Dense_0_kernel": np.zeros((25, 16), "f4")}, "Dense_0 takes 25 numbers, which encode no position"),
        ({"Dense_6_kernel": np.zeros((16, 2), "f4")}, "one →1 must be the density"),
        ({"Dense_8_kernel": np.zeros((32, 8), "f4")}, "Dense_8 takes 16 numbers .* which encode no direction"),
        ({"Dense_0_kernel": np.zeros(24, "f4")}, "a matrix `kernel` each"),
        ({"Dense_0_scale": np.zeros(3, "f4")}, "'MLP_0/Dense_0/scale' is no parameter of a mip-NeRF"),
        ({"Dense_11_bias": np.zeros(3, "f4")}, "MLP_0/Dense_11/bias stand on one side only"),
        ({"Dense_0_bias": np.zeros(16, "i4")}, "MLP_0/Dense_0/bias is no array of real numbers"),
        ({"Dense_0_bias": np.full(16, np.nan, "f4")}, "MLP_0/Dense_0/bias holds numbers that are not finite"),
        ({"Dense_0_kernel": np.zeros((24, 20), "f4")}, "Dense_8 takes 11 numbers .* which encode no direction"),
    ],
)
def test_shapes_that_are_no_mipnerf_are_named(tmp_path, refused, arrays, message):
    path = tmp_path / "params.msgpack"
    path.write_bytes(msgpack.packb(spoilt(make_model(), **arrays), default=pack))
    text = refused(path)
    assert text.startswith(str(path))
    with pytest.raises(CheckpointError, match=message):
        raise CheckpointError(text)


def test_no_memory_is_taken_for_a_network_that_a_file_only_claims(tmp_path, refused):
    tree = spoilt(make_model(use_viewdirs=False), Dense_0_kernel=np.zeros((24, 300_000), "f2"))
    (tmp_path / "params.msgpack").write_bytes(msgpack.packb(tree, default=pack))
    assert "this network needs (300000," in refused(tmp_path / "params.msgpack")


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "bare pickle"])
def test_a_file_of_unknown_layout_is_refused(tmp_path, refused, kind):
    path = tmp_path / "checkpoint"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"empty": b"", "text": b"no checkpoint", "bare pickle": b"\x80\x02}."}[kind])
    expected = {"missing": "does not exist", "folder": "is a folder"}.get(kind, "its layout is unknown; known are")
    assert expected in refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"net": torch.ones(1)}, "it holds no layer `mlp.density_layer`"),
        ({"model": [1]}, "it holds no layer `mlp.density_layer`"),
        ([1], "it holds no mapping"),
        ({"run": {}, "parameters": {}}, "is a model.pt of this suite already"),
        ({"model": port_state(make_model()) | {"mlp.prop.weight": 0}}, "mlp.prop.weight are unknown or missing"),
        ({"model": port_state(make_model()) | {"mlp.extra_layer.bias": 0}}, "mlp.extra_layer.bias is no tensor of"),
        (
            {"model": port_state(make_model()) | {"mlp.extra_layer.bias": torch.zeros(1).expand(10**6, 10**6)}},
            "mlp.extra_layer.bias is no tensor of",
        ),
    ],
    ids=["other network", "no layers", "list", "own", "more layers", "no tensor", "absurd size"],
)
def test_a_pytorch_file_that_is_no_mipnerf_is_refused(tmp_path, refused, content, message):
    torch.save(content, tmp_path / "model.pth")
    assert message in refused(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params": msgpack.ExtType(9, b"")}, "extension 9 is unknown"),
        ({"params": msgpack.ExtType(1, msgpack.packb(([2], "object", b"12345678")))}, "arrays of b'object'"),
        ({"params": msgpack.ExtType(1, msgpack.packb(([10**12], "float32", b"1234")))}, "no checkpoint of Flax"),
        ({"params": list(range(100))}, "no checkpoint of Flax"),
        ({"params": {"__msgpack_chunked_array__": True}}, "no checkpoint of Flax"),
        ({"params": 3}, "no parameters at optimizer/target/params"),
        ({"step": 3}, "'step' is no parameter of a mip-NeRF"),
    ],
)
def test_a_flax_file_that_is_no_mipnerf_is_refused(tmp_path, refused, content, message):
    (tmp_path / "checkpoint_1").write_bytes(msgpack.packb(content))
    assert message in refused(tmp_path / "checkpoint_1")


@pytest.mark.parametrize("layout", WRITERS)
def test_a_damaged_file_is_refused_or_harmless(tmp_path, refused, layout):
    content = WRITERS[layout](tmp_path / "whole", make_model()).read_bytes()
    path = tmp_path / "damaged"
    for share in (0.01, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        assert "it is cut off" in refused(path)
    generator = random.Random(0)
    for i in range(40):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            import_checkpoint(path, tmp_path / "toy" / "mipnerf" / f"run{i}")
        except (CheckpointError, ConfigError):
            continue


class Evil:
    """Unpickled by Python, it would call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("layout", ["mipnerf-pytorch", "mipnerf_pl"])
@pytest.mark.parametrize("function", ["system", "open", "exec"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, refused, layout, function):
    trace = tmp_path / "trace"
    evil = {
        "system": Evil(os.system, f"touch {trace}"),
        "open": Evil(io.open, str(trace), "w"),
        "exec": Evil(exec, f"open({str(trace)!r}, 'w')"),
    }[function]
    path = WRITERS[layout](tmp_path / "evil", make_model(), hyper_parameters=evil, other=[evil, {evil: evil}])
    if function in ("system", "exec"):
        assert f"{function} to be called, which is never done" in refused(path)
    else:
        assert import_checkpoint(path, run_folder(tmp_path)).model.net_width == 16
    assert not trace.exists()
    # Had it been run, it would have left its trace.
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_what_a_checkpoint_names_is_allowed_to_no_other_file(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    path = write_lightning(tmp_path / "last.ckpt", make_model())
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, refused, monkeypatch):
    path = write_port(tmp_path / "model.pth", make_model())
    monkeypatch.setattr("mipnerf.interop.pytorch.MAX_BYTES", 100)
    assert "it unpacks to more than" in refused(path)
    monkeypatch.setattr("mipnerf.interop.importing.MAX_FILE_BYTES", 100)
    assert "it is larger than" in refused(path)
    monkeypatch.undo()
    monkeypatch.setattr("mipnerf.interop.parameters.MAX_PARAMETERS", 100)
    assert "more than 100 parameters" in refused(path)


def test_without_msgpack_it_is_said_what_to_install(tmp_path, refused, monkeypatch):
    path = write_flax(tmp_path / "checkpoint_1", make_model())
    monkeypatch.setattr(flax, "msgpack", None)
    assert "pip install -e '.[interop]'" in refused(path)
    with pytest.raises(CheckpointError, match="msgpack"):
        export_flax(make_model(), 1, tmp_path / "checkpoint_2")
