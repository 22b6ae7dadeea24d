"""What the bench counts is exact, and what it measures is consistent; no test looks at how fast it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mipnerf.bench.operations import layer_shapes, multiply_adds, rendering_flops, samples_per_ray, training_flops
from mipnerf.bench.parts import time_parts
from mipnerf.bench.plan import estimate_runs, measure_run
from mipnerf.bench.products import Products, product_bound
from mipnerf.bench.report import format_result, measure
from mipnerf.bench.scaling import VALUES, measure_curve, measure_scaling, with_value
from mipnerf.bench.speed import make_trainer, random_rays, time_calls, train_once
from mipnerf.config import ModelConfig, OperationConfig
from mipnerf.config.files import merged, read_suite
from mipnerf.datasets.made_up import made_up_scene
from mipnerf.errors import ConfigError
from mipnerf.network.model import MipNerf
from mipnerf.workers import Workers

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
OPERATION = OperationConfig(device="cpu")
NERF = {"ray_shape": "point", "num_samples": 64, "num_fine_samples": 128, "single_mlp": False}
TINY = ["model.net_depth=2", "model.net_width=8", "model.net_width_condition=8", "model.num_samples=4"]
PER_PRECISION = [
    "bound_gflops",
    "render_bound_gflops",
    "train_rays_per_s",
    "train_rays_per_s_median",
    "train_fraction_of_bound",
    "render_rays_per_s",
    "render_rays_per_s_median",
    "render_fraction_of_bound",
    "seconds_per_megapixel",
    "memory_bound_rays_per_s",
    "train_fraction_of_memory_bound",
]
PARTS = ["data", "sampling", "encoding", "network", "compositing", "backward", "optimiser", "rest"]


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with a configuration of two runs that share a network, one with another batch, and an adopted one."""
    model = {"net_depth": 2, "net_width": 8, "net_width_condition": 8, "num_samples": 4}
    files = {
        "datasets": {"datasets": {"toy": {"source": "toys", "scenes": ["a", "b"], "levels": 2}}},
        "variants": {
            "variants": {"mipnerf": {}, "large": {"train": {"batch_size": 64}}, "ss": {"model_of": "mipnerf"}}
        },
        "config": {
            "model": model,
            "train": {"batch_size": 32, "max_steps": 1000},
            "runs": [
                {"dataset": "toy", "variants": ["mipnerf", "ss"]},
                {"dataset": "toy", "scenes": ["a"], "variants": ["large"]},
            ],
        },
    }
    (tmp_path / "config").mkdir()
    for name, values in files.items():
        (tmp_path / "config" / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


@pytest.mark.slow
def test_the_default_network_takes_610304_multiply_adds_a_sample():
    shapes = layer_shapes(ModelConfig())
    trunk = [(96, 256), *[(256, 256)] * 4, (352, 256), *[(256, 256)] * 2]
    assert shapes == [*trunk, (256, 1), (256, 256), (283, 128), (128, 3)]
    assert multiply_adds(shapes) == 610_304


@pytest.mark.parametrize("change", [{}, {"use_viewdirs": False}, {"net_depth": 9}, {"net_depth_condition": 2}, NERF])
def test_layers_hold_all_weights_of_a_network(change):
    model = MipNerf(ModelConfig(**change))
    weights = sum(p.numel() for p in model.mlp.parameters() if p.ndim == 2)
    assert multiply_adds(layer_shapes(model.config)) == weights


@pytest.mark.parametrize(
    ("change", "samples"),
    [({}, 256), ({"num_levels": 1}, 128), ({"num_levels": 3, "num_samples": 10}, 30), (NERF, 64 + 192)],
)
def test_samples_of_a_ray(change, samples):
    config = ModelConfig(**change)
    assert samples_per_ray(config) == samples


@pytest.mark.parametrize("change", [{}, {"num_levels": 3}, {**NERF, "num_levels": 3}])
def test_samples_are_those_that_a_network_is_asked_for(run_with, change):
    trainer = make_trainer(run_with(model=change), OPERATION, 1, "float32")
    levels = trainer.model.render_levels(random_rays(trainer, 2), randomized=False, white_bkgd=True)
    assert samples_per_ray(trainer.run.model) == sum(level.density.shape[1] for level in levels)


def test_operations_of_a_ray():
    assert training_flops(ModelConfig()) == 6 * 610_304 * 256
    assert training_flops(ModelConfig(), backward_share=0.5) == 4 * 610_304 * 256
    assert rendering_flops(ModelConfig()) == 2 * 610_304 * 256
    proposing = ModelConfig(single_mlp=False, proposal_depth=2, proposal_width=32, num_levels=3)
    small = 96 * 32 + 32 * 32 + 32 + 32 * 32 + (32 + 27) * 16 + 16 * 3
    assert rendering_flops(proposing) == 2 * 128 * (2 * small + 610_304)


def test_a_call_is_timed_in_windows_after_one_that_is_not_counted():
    calls = []
    timing = time_calls(lambda: calls.append(None), 0.0, CPU, least=4)
    assert len(calls) == 1 + 4
    assert 0 < timing.best <= timing.median


def test_the_made_up_scene_can_be_trained_on(small_run):
    scene = made_up_scene()
    assert scene.lossmults.tolist() == [1, 4, 16, 64]
    trainer = make_trainer(small_run, OPERATION, 1, "float32")
    before = [p.clone() for p in trainer.model.parameters()]
    train_once(trainer)
    assert any(not torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_the_bound_takes_all_products(training, monkeypatch):
    shapes, flops = layer_shapes(ModelConfig(net_depth=2, net_width=8)), []
    products = Products(shapes, 16, torch.float32, CPU)
    multiply = torch.mm
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: flops.append(2 * a.numel() * b.shape[1]) or multiply(a, b, out=out)
    )
    products.multiply(products.result(), training)
    assert sum(flops) == (6 if training else 2) * 16 * multiply_adds(shapes)
    assert products.multiply_adds == 16 * multiply_adds(shapes)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bound_leaves_one_thread_to_an_operation(threads):
    shapes = layer_shapes(ModelConfig(net_depth=1, net_width=4))
    assert product_bound(shapes, True, torch.bfloat16, Workers(threads, CPU), CPU, 0.0, rows=[2048, 4096]) > 0
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("change", [{}, NERF | {"num_samples": 8, "num_fine_samples": 8}])
def test_parts_add_up_to_a_step_and_leave_no_trace(run_with, change):
    from mipnerf.network import mip

    original = mip.pos_enc
    parts = time_parts(make_trainer(run_with(model=change), OPERATION, 2, "float32"), 0.0)
    assert list(parts) == PARTS
    assert all(value > 0 for value in parts.values())
    assert mip.pos_enc is original


def test_mappings_are_merged_and_lists_replaced():
    base = {"a": {"x": 1, "y": {"z": 2}}, "runs": [1, 2], "n": None}
    changes = {"a": {"y": {"w": 3}}, "runs": [3], "n": {"k": 1}}
    assert merged(base, changes) == {"a": {"x": 1, "y": {"z": 2, "w": 3}}, "runs": [3], "n": {"k": 1}}
    assert base["runs"] == [1, 2]
    assert base["a"] == {"x": 1, "y": {"z": 2}}


@pytest.mark.parametrize("name", ["lego", "ablations", "paper"])
def test_configurations_are_read_as_snakemake_reads_them(name):
    from snakemake.utils import update_config

    paths = [ROOT / "config" / f"{file}.yaml" for file in ("datasets", "variants", "config", name)]
    expected: dict = {}
    for path in paths:
        update_config(expected, yaml.safe_load(path.read_text()))
    actual: dict = {}
    for path in paths:
        actual = merged(actual, yaml.safe_load(path.read_text()))
    assert actual == expected
    assert read_suite(ROOT, paths[-1:]).runs


def test_every_trained_run_is_estimated_and_each_network_measured_once(project, monkeypatch):
    measured = []
    monkeypatch.setattr(
        "mipnerf.bench.plan.measure_run", lambda run, *_: measured.append(run.name) or 100.0 * len(measured)
    )
    estimates = estimate_runs(read_suite(project), OPERATION, 1, 0.0)
    assert measured == ["toy/mipnerf/a", "toy/large/a"]
    assert [(e.run, e.steps, e.batch_size, e.rays_per_s) for e in estimates] == [
        ("toy/mipnerf/a", 1000, 32, 100.0),
        ("toy/mipnerf/b", 1000, 32, 100.0),
        ("toy/large/a", 1000, 64, 200.0),
    ]
    assert [e.hours for e in estimates] == pytest.approx([1000 * 32 / 100 / 3600] * 2 + [1000 * 64 / 200 / 3600])


def test_of_a_batch_that_a_cpu_computes_in_parts_some_are_enough(run_with, monkeypatch):
    sizes = []
    monkeypatch.setattr("mipnerf.bench.speed.train_once", lambda trainer: sizes.append(trainer.run.train.batch_size))
    run = run_with(train={"batch_size": 1 << 16})
    assert measure_run(run, OPERATION, 2, "float32", 0.0) > 0
    assert set(sizes) == {8 * 2 * 512}


def test_a_file_that_is_no_configuration_is_named(project, tmp_path):
    bad = tmp_path / "bad.yaml"
    for text, message in (("- 1", "holds no mapping"), ("a: [", "cannot be read")):
        bad.write_text(text)
        with pytest.raises(ConfigError, match=rf"bad\.yaml {message}"):
            read_suite(project, [bad])


@pytest.mark.slow
def test_everything_measured_is_positive_and_consistent(project, run_with):
    run = run_with(train={"precision": "float32"})
    result = measure(run, OPERATION, 2, 0.0, project=project, rows=[2048, 4096])
    for key in PER_PRECISION:
        assert result[key].keys() == {"float32", "bfloat16"}
        assert all(value > 0 for value in result[key].values()), key
    for name in ("float32", "bfloat16"):
        for phase, bound, flops in (
            ("train", "bound_gflops", training_flops(run.model)),
            ("render", "render_bound_gflops", rendering_flops(run.model)),
        ):
            assert result[f"{phase}_rays_per_s"][name] >= result[f"{phase}_rays_per_s_median"][name]
            fraction = result[f"{phase}_rays_per_s"][name] * flops / (1e9 * result[bound][name])
            assert result[f"{phase}_fraction_of_bound"][name] == pytest.approx(fraction)
        assert result["seconds_per_megapixel"][name] == pytest.approx(1e6 / result["render_rays_per_s"][name])
    assert list(result["parts_ms"]) == PARTS
    assert [row["run"] for row in result["runs"]] == ["toy/mipnerf/a", "toy/mipnerf/b", "toy/large/a"]
    assert result["runs_hours"] == pytest.approx(sum(row["hours"] for row in result["runs"]))
    text = format_result(json.loads(json.dumps(result)))
    for part in (
        "share of the bound",
        "Folding the bottleneck",
        "compositing",
        "toy/large/a",
        "all, one after another",
    ):
        assert part in text
    emulated = format_result(result | {"bfloat16_in_hardware": False})
    assert "emulated: measured, but" in emulated


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mipnerf", "bench", "--seconds", "0", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_prints_json_outside_of_a_project_too(tmp_path):
    result = bench(tmp_path, "--json", "--threads", "1", "--set", *TINY, "train.batch_size=16", "operation.device=cpu")
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout)
    assert values.keys() > {*PER_PRECISION, "device", "torch", "parts_ms"}
    assert values["peak_memory_mb"] > 0
    assert values["threads"] == 1
    assert values["batch_size"] == 16
    assert values["model"]["net_width"] == 8
    assert values["runs"] == []
    assert "config/datasets.yaml is not here" in values["runs_note"]
    assert result.stderr.count("config/datasets.yaml is not here") == 1


@pytest.mark.slow
def test_the_command_refuses_a_mistake_in_one_message(tmp_path):
    result = bench(tmp_path, "--set", "model.net_widht=8")
    assert result.returncode == 1
    assert "did you mean 'net_width'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_thing_is_varied_at_a_time(small_run):
    assert with_value(small_run, "batch_size", 7).train.batch_size == 7
    assert with_value(small_run, "num_samples", 5).model.num_samples == 5
    wide = with_value(small_run, "net_width", 64).model
    assert (wide.net_width, wide.net_width_condition) == (64, 32)
    assert with_value(small_run, "image_size", 50) == small_run


def test_a_curve_ends_where_the_next_point_would_take_too_long(small_run):
    points = list(measure_curve("image_size", "float32", "rendering", small_run, OPERATION, 1, 0.0, limit=0.0))
    assert [point.value for point in points] == list(VALUES["image_size"])
    assert points[0].seconds > 0
    assert points[0].rays_per_s == pytest.approx(50 * 50 / points[0].seconds)
    assert all(point.seconds != point.seconds and point.note == "over 0 s" for point in points[1:])


def test_a_curve_ends_where_memory_does(small_run, monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr("mipnerf.bench.scaling.train_once", fail)
    points = list(measure_curve("net_width", "float32", "training", small_run, OPERATION, 1, 0.0, limit=9.0))
    assert {point.note for point in points} == {"out of memory"}


def test_scaling_measures_every_curve(small_run):
    points = list(measure_scaling(small_run, OPERATION, 1, 0.0, limit=0.0))
    assert len(points) == 4 * (9 + 4 + 4) + 2 * 5
    assert {(p.varied, p.phase) for p in points if p.seconds > 0} == {
        *((varied, "training") for varied in VALUES if varied != "image_size"),
        *((varied, "rendering") for varied in VALUES),
    }
