"""What a plan counts is exact, and its schedule keeps to the bounds that hold for all schedules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.bench.operations import rendering_flops, training_flops
from mipnerf.config import ModelConfig, TrainOverrides, parse_config
from mipnerf.config.files import merged, read_mapping, read_suite
from mipnerf.config.runs import resolve_runs
from mipnerf.errors import ConfigError
from mipnerf.network.model import MipNerf
from mipnerf.planning.costs import Speed, cost_of, count_jobs, disk_bytes, memory_bytes, num_parameters, tasks_of
from mipnerf.planning.report import format_plan, make_plan
from mipnerf.planning.scheduling import Task, critical_path, simulate
from mipnerf.planning.speed import benched_speed, measured_speed, said_speed

ROOT = Path(__file__).parents[3]
SPEED = Speed(1e12, 2e12, "cpu", "made up")
BENCH = {
    "device": "a GPU",
    "cuda": "13.0",
    "precision": "bfloat16",
    "train_rays_per_s_median": {"float32": 1.0, "bfloat16": 1000.0},
    "render_rays_per_s_median": {"float32": 1.0, "bfloat16": 4000.0},
    "training_flops_per_ray": 6e9,
    "rendering_flops_per_ray": 2e9,
    "peak_memory_mb": 500.0,
}


@st.composite
def graphs(draw):
    """Tasks, each after some of those before it."""
    tasks = []
    for i in range(draw(st.integers(1, 25))):
        after = draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else []
        tasks.append(Task(float(draw(st.integers(0, 50))), tuple(after)))
    return tasks


@given(graphs(), st.integers(1, 6))
def test_a_schedule_keeps_to_the_bounds_of_graham(tasks, devices):
    total, path, wall = sum(task.seconds for task in tasks), critical_path(tasks), simulate(tasks, devices)
    assert max(total / devices, path) <= wall + 1e-6
    assert wall <= total / devices + (1 - 1 / devices) * path + 1e-6
    assert simulate(tasks, 1) == total
    assert simulate(tasks, len(tasks)) == path


@given(st.lists(st.integers(1, 50), min_size=1, max_size=25), st.integers(1, 6))
def test_without_dependencies_the_last_task_delays_the_end_by_itself_at_most(seconds, devices):
    wall = simulate([Task(float(value)) for value in seconds], devices)
    assert max(sum(seconds) / devices, max(seconds)) <= wall + 1e-6
    assert wall <= sum(seconds) / devices + max(seconds)


def test_a_schedule_by_hand():
    trainings = [Task(3.0), Task(2.0), Task(2.0)]
    assert simulate([*trainings, Task(1.0, (0,)), Task(1.0, (0,))], 2) == 5.0
    assert simulate([], 3) == critical_path([]) == 0.0


def test_the_rows_of_the_paper_are_counted():
    suite = read_suite(ROOT, [ROOT / "config/paper.yaml"])
    plan = make_plan(suite, said_speed(1000.0), 8)
    assert plan["jobs"]["train"] == 168
    assert plan["jobs"]["adopt"] == 8
    (row,) = [row for row in plan["device_hours"] if (row["dataset"], row["variant"]) == ("blender", "mipnerf")]
    # Eight scenes of 1,000,000 steps of 4096 rays, at 1000 rays a second; 200 images of 800x800 at three times that.
    assert row["training"] == pytest.approx(8 * 4_096_000 / 3600)
    assert row["evaluation"] == pytest.approx(8 * 200 * 640 / 3 / 3600)
    adopted = [row for row in plan["device_hours"] if row["variant"] == "ss_mipnerf"]
    assert adopted[0]["training"] == 0
    # Each of the four levels is rendered at full resolution.
    assert adopted[0]["evaluation"] == pytest.approx(4 * row["evaluation"])
    hours = sum(row["training"] + row["evaluation"] for row in plan["device_hours"])
    assert plan["total_device_hours"] == pytest.approx(hours)
    assert plan["least_wall_hours"] <= plan["wall_hours"] <= plan["most_wall_hours"]
    text = format_plan(plan)
    assert "time on 8 devices" in text
    assert "multiscale_llff/nerf_area_center" in text


def test_a_training_of_minutes_costs_these():
    suite = read_suite(ROOT).model_copy(update={"train": TrainOverrides(minutes=3.0)})
    costs = [cost_of(suite, run, SPEED) for run in resolve_runs(suite).values()]
    assert [cost.training for cost in costs] == [180.0, 180.0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1:00"), (3723, "1:02:03"), (0, "—")],
)
def test_less_than_a_minute_is_shown_in_seconds(suite, seconds, text):
    plan = make_plan(suite, SPEED, 1) | {"longest_training_hours": seconds / 3600}
    (row,) = [line for line in format_plan(plan).splitlines() if line.startswith("longest training")]
    assert row.removeprefix("longest training").strip() == text


@pytest.fixture
def suite():
    """The toy configuration, and its first run as supersampled by another variant."""
    changes = {
        "variants": {"ss": {"model_of": "mipnerf", "data": {"supersample": True, "max_test_views": 1}}},
        "runs": [read_mapping(ROOT / "config/test/toy.yaml")["runs"][0] | {"variants": ["ss", "mipnerf"]}],
    }
    values = {}
    for path in ("datasets", "variants", "config", "test/toy"):
        values = merged(values, read_mapping(ROOT / f"config/{path}.yaml"))
    return parse_config(merged(values, changes))


def test_costs_follow_the_configuration(suite):
    runs = resolve_runs(suite)
    adopted, trained = (cost_of(suite, run, SPEED) for run in runs.values())
    model = trained.run.model
    assert trained.training == pytest.approx(20 * 64 * training_flops(model) / 1e12)
    shorter = trained.run.train.model_copy(update={"backward_share": 0.25})
    cheaper = cost_of(suite, trained.run.model_copy(update={"train": shorter}), SPEED)
    assert cheaper.training == pytest.approx(trained.training / 2)
    on_a_gpu = cost_of(suite, cheaper.run, SPEED._replace(device="cuda"))  # which leaves nothing out
    assert on_a_gpu.training == pytest.approx(trained.training)
    pixels = [96 * 96, 48 * 48, 24 * 24, 12 * 12]
    assert trained.evaluations == pytest.approx([2 * n * rendering_flops(model) / 2e12 for n in pixels])
    assert adopted.training == 0
    assert adopted.evaluations == pytest.approx([96 * 96 * rendering_flops(model) / 2e12] * 4)
    tasks = tasks_of(suite, [adopted, trained])
    assert [task.after for task in tasks] == [()] + 2 * [(0,)]
    assert tasks[1].seconds == pytest.approx(sum(adopted.evaluations))
    sharded = suite.model_copy(update={"eval_shards": 5})
    parts = tasks_of(sharded, [adopted, trained])
    assert [task.after for task in parts] == [()] + 5 * 8 * [(0,)]
    assert sum(task.seconds for task in parts) == pytest.approx(sum(task.seconds for task in tasks))
    assert count_jobs(sharded, runs) - count_jobs(suite, runs) == {"evaluate_shard": 40}
    assert count_jobs(suite, runs)["evaluate"] == 2
    weights = 4 * sum(p.numel() for p in MipNerf(model).parameters())
    disk = disk_bytes(suite, runs)
    assert (disk["models"], disk["checkpoints"]) == (2 * weights, 3 * 3 * weights)
    assert disk["renderings"] == 2.5 * (2 + 1) * sum(pixels)
    assert disk["data"] == (4 + 1 + 2) * (96 * 96 + sum(pixels))
    assert list(memory_bytes(suite, runs).values()) == [4 * 4 * sum(pixels), 4 * weights]


def test_two_networks_have_twice_the_parameters():
    assert num_parameters(ModelConfig()) == 612_740
    assert num_parameters(ModelConfig(single_mlp=False)) == 2 * 612_740


def test_a_speed_is_taken_from_a_file_of_bench(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(BENCH))
    speed, peak = benched_speed(path)
    assert (speed.training, speed.rendering, peak) == (6e12, 8e12, 5e8)
    path.write_text(json.dumps(BENCH | {"train_rays_per_s_median": {"bfloat16": 0}}))
    with pytest.raises(ConfigError, match="not positive"):
        benched_speed(path)
    for text in ("[]", "{", json.dumps(BENCH | {"precision": "float16"})):
        path.write_text(text)
        with pytest.raises(ConfigError, match="bench --json"):
            benched_speed(path)


def test_a_speed_is_measured_here(suite):
    suite = suite.model_copy(update={"operation": suite.operation.model_copy(update={"device": "cpu"})})
    speed = measured_speed(suite, resolve_runs(suite), 1, 0.0)
    assert speed.training > 0
    assert speed.rendering > 0
    assert "with the network of bricks/mipnerf/bricks" in speed.origin


@pytest.mark.slow
def test_the_command_plans_and_refuses():
    command = [
        sys.executable,
        "-m",
        "mipnerf",
        "plan",
        "--configfile",
        "config/test/toy.yaml",
        "--rays-per-second",
        "99",
    ]

    def call(*arguments):
        return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    plan = json.loads(call("--gpus", "2", "--json").stdout)
    assert (plan["devices"], plan["jobs"]["train"], plan["jobs"]["evaluate"]) == (2, 2, 2)
    assert "not allowed with" in call("--bench", "file").stderr
    assert "0 is not a whole number of at least 1" in call("--gpus", "0").stderr
