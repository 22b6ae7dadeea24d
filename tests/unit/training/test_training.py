import fcntl
import functools
import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from stopped import StopAt, same, weights
from torch._dynamo.utils import counters

from mipnerf.config import OperationConfig
from mipnerf.errors import CheckpointError, ConfigError, Interrupted, TrainingDiverged
from mipnerf.evaluation.views import load_trained
from mipnerf.network import pruning
from mipnerf.network.model import MipNerf
from mipnerf.training import checkpoint, claims, stepping
from mipnerf.training import loop as training
from mipnerf.training.checkpoint import list_states
from mipnerf.training.claims import only_one
from mipnerf.training.history import read_rows
from mipnerf.training.loop import Trainer, train

OPERATION = OperationConfig(print_every=3, save_every=5, device="cpu")


def test_a_training_writes_model_history_and_configuration(tmp_path, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    model, run = load_trained(tmp_path / "model.pt", torch.device("cpu"))
    assert run == small_run
    assert [row.step for row in read_rows(tmp_path / "history.csv")] == [3, 6, 9, 12]
    resolved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert resolved["train"]["batch_size"] == 32
    assert resolved["levels"] == 2
    assert resolved["record"]["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert resolved["record"]["train_views"] == 3
    assert (resolved["record"]["width"], resolved["record"]["height"]) == (8, 8)
    assert resolved["record"]["train_seconds"] > 0
    assert resolved["record"]["data_sha256"] == small_scene.fingerprint()


def test_the_history_tells_the_psnr_of_the_pixels_not_of_the_loss(tmp_path, run_with, small_scene):
    run = run_with(train={"disable_multiscale_loss": True, "coarse_loss_mult": 0.0})
    train(run, OPERATION, small_scene, tmp_path, threads=1)
    for row in read_rows(tmp_path / "history.csv"):
        assert row.psnr == pytest.approx(-10 * np.log10(row.loss / 3))


@pytest.mark.slow
def test_training_learns(tmp_path, run_with, small_scene):
    scene = small_scene.select([0])
    train(run_with(train={"max_steps": 150, "batch_size": 64}), OPERATION, scene, tmp_path, threads=1)
    rows = read_rows(tmp_path / "history.csv")
    assert rows[-1].psnr > rows[0].psnr + 1


@pytest.mark.parametrize("stops", [[1], [2], [5], [7], [11], [2, 3, 1]], ids=str)
@pytest.mark.parametrize("batching", ["all_images", "single_image", "all_levels"])
def test_stopped_and_continued_is_never_stopped(tmp_path, monkeypatch, run_with, small_scene, stops, batching):
    run = run_with(data={"batching": batching}, model={"density_noise": 0.5})
    train(run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    for count in stops:
        with monkeypatch.context() as patch:
            StopAt(patch, count)
            with pytest.raises(Interrupted, match="is saved"):
                train(run, OPERATION, small_scene, tmp_path / "parts", threads=1)
        assert not (tmp_path / "parts" / "model.pt").exists()
    train(run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    rows = [read_rows(tmp_path / name / "history.csv") for name in ("whole", "parts")]
    timeless = [[replace(row, rays_per_s=0.0, seconds=0.0) for row in of_one] for of_one in rows]
    assert timeless[0] == timeless[1]


def test_another_interval_of_rows_goes_on_where_the_last_row_was_made(tmp_path, monkeypatch, small_run, small_scene):
    for every in (1, 3, 5):
        operation = OPERATION.model_copy(update={"print_every": every})
        train(small_run, operation, small_scene, tmp_path / str(every), threads=1)
    with monkeypatch.context() as patch:
        StopAt(patch, 8)
        with pytest.raises(Interrupted):
            train(small_run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    train(small_run, OPERATION.model_copy(update={"print_every": 5}), small_scene, tmp_path / "parts", threads=1)
    rows = {
        name: {row.step: row for row in read_rows(tmp_path / name / "history.csv")} for name in ("1", "3", "5", "parts")
    }
    parts = rows["parts"]
    assert list(parts) == [3, 6, 10, 12]
    assert [parts[step].losses for step in (3, 6)] == [rows["3"][step].losses for step in (3, 6)]
    assert parts[12].losses == rows["5"][12].losses
    # Of the steps since the row at 6, also those before the stop at 8.
    expected = np.mean([rows["1"][step].losses for step in (7, 8, 9, 10)], axis=0)
    assert parts[10].losses == pytest.approx(expected, rel=1e-5)


def test_a_state_of_the_first_version_goes_on(tmp_path, monkeypatch, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    with monkeypatch.context() as patch:
        StopAt(patch, 8)
        state = Trainer.state
        patch.setattr(Trainer, "state", lambda self: {k: v for k, v in state(self).items() if k != "window"})
        with pytest.raises(Interrupted):
            train(small_run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    train(small_run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole, parts = (read_rows(tmp_path / name / "history.csv") for name in ("whole", "parts"))
    assert [row.step for row in parts] == [3, 6, 9, 12]
    assert [row.losses for row in parts[:2] + parts[3:]] == [row.losses for row in whole[:2] + whole[3:]]


def test_the_loss_is_that_of_the_levels_together(tmp_path, run_with, small_scene):
    run = run_with(model={"num_levels": 3}, train={"coarse_loss_mult": 0.3})
    train(run, OPERATION, small_scene, tmp_path, threads=1)
    for row in read_rows(tmp_path / "history.csv"):
        coarse, middle, fine = row.losses
        assert row.loss == pytest.approx(0.3 * (coarse + middle) + fine)
        assert row.psnr == pytest.approx(-10 * np.log10(fine / 3))


def test_the_number_of_threads_does_not_change_a_bit(tmp_path, run_with, small_scene):
    run = run_with(train={"batch_size": 1000})
    for threads in (1, 3):
        train(run, OPERATION, small_scene, tmp_path / str(threads), threads=threads)
        assert yaml.safe_load((tmp_path / str(threads) / "config.yaml").read_text())["record"]["threads"] == threads
    assert same(weights(tmp_path / "1"), weights(tmp_path / "3"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_every_stop_signal_saves_and_says_so(tmp_path, monkeypatch, small_run, small_scene, number):
    StopAt(monkeypatch, 4, number)
    with pytest.raises(Interrupted) as error:
        train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert error.value.signal_number == number
    assert [int(path.name[5:13]) for path in list_states(next((tmp_path / "checkpoints").glob("*/")))] == [4, 1]
    assert signal.getsignal(number) != training.StopSignals


def test_a_signal_at_the_last_step_is_too_late_to_matter(tmp_path, monkeypatch, small_run, small_scene):
    StopAt(monkeypatch, 12)
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert (tmp_path / "model.pt").exists()


def test_a_finished_run_is_only_written_out_again(tmp_path, monkeypatch, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    before = weights(tmp_path)
    for name in ("model.pt", "history.csv", "config.yaml"):
        (tmp_path / name).unlink()
    with monkeypatch.context() as patch:
        counter = StopAt(patch, 0)
        train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert counter.count == 0
    assert same(weights(tmp_path), before)
    assert read_rows(tmp_path / "history.csv")[-1].step == 12


def test_fresh_trains_a_finished_run_anew_and_keeps_the_old_end(tmp_path, monkeypatch, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    before = weights(tmp_path)
    counter = StopAt(monkeypatch, 0)
    train(small_run, OPERATION, small_scene, tmp_path, fresh="word", threads=1)
    assert counter.count == 12
    assert same(weights(tmp_path), before)
    assert len(list((tmp_path / "checkpoints").glob("*.previous/step_00000012*.pt"))) == 1


def test_fresh_starts_an_unfinished_run_again_but_lets_its_own_retry_go_on(
    tmp_path, monkeypatch, small_run, small_scene
):
    for stop, fresh in ((7, ""), (5, "word")):
        with monkeypatch.context() as patch:
            StopAt(patch, stop)
            with pytest.raises(Interrupted, match=f"step {stop} is saved"):
                train(small_run, OPERATION, small_scene, tmp_path, fresh=fresh, threads=1)
    counter = StopAt(monkeypatch, 0)
    train(small_run, OPERATION, small_scene, tmp_path, fresh="word", threads=1)
    assert counter.count == 12 - 5
    train(small_run, OPERATION, small_scene, tmp_path, fresh="word", threads=1)
    assert counter.count == 12 - 5


def test_another_configuration_or_other_data_start_from_scratch(
    tmp_path, monkeypatch, run_with, small_run, small_scene
):
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    counter = StopAt(monkeypatch, 0)
    train(run_with(train={"lr_init": 1e-3}), OPERATION, small_scene, tmp_path, threads=1)
    assert counter.count == 12
    images = [255 - image for image in small_scene.images]
    train(small_run, OPERATION, replace(small_scene, images=images), tmp_path, threads=1)
    assert counter.count == 24


def test_how_a_job_is_run_does_not_start_it_from_scratch(tmp_path, monkeypatch, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    counter = StopAt(monkeypatch, 0)
    train(small_run, OperationConfig(print_every=1, save_every=1, device="cpu"), small_scene, tmp_path, threads=1)
    assert counter.count == 0


def test_a_damaged_checkpoint_costs_steps_not_the_run(tmp_path, monkeypatch, small_run, small_scene):
    train(small_run, OPERATION, small_scene, tmp_path / "whole", threads=1)
    with monkeypatch.context() as patch:
        StopAt(patch, 8)
        with pytest.raises(Interrupted):
            train(small_run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    newest = list_states(next((tmp_path / "parts" / "checkpoints").glob("*/")))[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    counter = StopAt(monkeypatch, 0)
    train(small_run, OPERATION, small_scene, tmp_path / "parts", threads=1)
    assert counter.count == 12 - 5
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_checkpoints_are_made_at_once_then_by_steps_and_by_time(tmp_path, monkeypatch, small_run, small_scene):
    saved = []
    original = checkpoint.save_state

    def note(folder, step, *rest):
        saved.append(step)
        return original(folder, step, *rest)

    monkeypatch.setattr(checkpoint, "save_state", note)
    train(small_run, OPERATION, small_scene, tmp_path / "steps", threads=1)
    assert saved == [1, 5, 10, 12]
    saved.clear()
    hurried = OperationConfig(save_minutes=1e-9, device="cpu")
    train(small_run, hurried, small_scene, tmp_path / "time", threads=1)
    assert saved == list(range(1, 13))


def test_a_diverging_training_stops_and_keeps_what_was_good(tmp_path, run_with, small_scene):
    run = run_with(train={"lr_init": 1e30, "lr_final": 1e30, "max_steps": 40, "lr_delay_steps": 0})
    with pytest.raises(TrainingDiverged, match=r"lr_init"):
        train(run, OPERATION, small_scene, tmp_path, threads=1)
    assert not (tmp_path / "model.pt").exists()
    state = torch.load(list_states(next((tmp_path / "checkpoints").glob("*/")))[0], weights_only=True)
    assert state["step"] < 40


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, small_run, small_scene):
    original = stepping.train_step

    def spoil(model, *rest):
        losses = original(model, *rest)
        model.mlp.rgb_layer.bias.data[0] = float("nan")
        return losses

    monkeypatch.setattr(stepping, "train_step", spoil)
    with pytest.raises(TrainingDiverged, match="weights are not finite at step 1"):
        train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert not list(tmp_path.rglob("*.pt"))


def hold_lock(folder, ready, done):
    with only_one(folder):
        ready.set()
        done.wait(30)


@pytest.mark.slow
def test_two_processes_never_train_the_same_run(tmp_path, small_run, small_scene, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)  # a Slurm job waits
    (tmp_path / "checkpoints").mkdir()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold_lock, args=(tmp_path, ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(CheckpointError, match=f"being trained by process {holder.pid} on "):
            train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    finally:
        done.set()
        holder.join()
    train(small_run, OPERATION, small_scene, tmp_path, threads=1)


@pytest.mark.slow
def test_a_slurm_job_waits_for_the_one_that_trains_the_same_run(tmp_path, small_run, small_scene, monkeypatch):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "owner.txt").write_text("process 1 on node7, Slurm job 16")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    said = []
    with (checkpoints / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def hear(record):
            said.append(record.getMessage())
            assert not list(tmp_path.rglob("*.pt"))
            fcntl.flock(other, fcntl.LOCK_UN)
            return True

        monkeypatch.setattr(claims.log, "filters", [hear])
        train(small_run, OPERATION, small_scene, tmp_path, threads=1)
    assert (
        said[0]
        == f"{tmp_path} is being trained by process 1 on node7, Slurm job 16; this job goes on when that has ended"
    )
    assert f"process {os.getpid()} on " in (checkpoints / "owner.txt").read_text()
    assert (tmp_path / "model.pt").exists()


def test_disparity_sampling_needs_a_positive_near(tmp_path, run_with, small_scene):
    scene = replace(small_scene, nears=np.zeros(small_scene.num_views))
    with pytest.raises(ConfigError, match="lindisp"):
        train(run_with(model={"lindisp": True}), OPERATION, scene, tmp_path, threads=1)
    with pytest.raises(ConfigError, match=r"model\.contraction mip360 divides by near.*positive data\.near"):
        train(run_with(model={"contraction": "mip360"}), OPERATION, scene, tmp_path, threads=1)


def test_a_gpu_that_is_not_there_is_named(tmp_path, small_run, small_scene):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so asking for it is no mistake")
    with pytest.raises(ConfigError, match=r"operation\.device is 'cuda'"):
        train(small_run, OperationConfig(device="cuda"), small_scene, tmp_path, threads=1)


def test_what_does_not_fit_is_halved_and_the_gradient_stays_that_of_the_batch(
    tmp_path, monkeypatch, run_with, small_scene
):
    run = run_with(train={"randomized": False, "precision": "float32"})
    for limit in (32, 5):
        original = MipNerf.render_levels

        def render_levels(self, rays, *args, limit=limit, original=original):
            if len(rays) > limit:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return original(self, rays, *args)

        with monkeypatch.context() as patch:
            patch.setattr(MipNerf, "render_levels", render_levels)
            train(run, OPERATION, small_scene, tmp_path / str(limit), threads=1)
    whole, parts = (torch.load(tmp_path / str(limit) / "model.pt")["parameters"] for limit in (32, 5))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("microbatch_rays", [0, 16])
def test_memory_for_not_even_one_part_is_one_message(tmp_path, monkeypatch, small_run, small_scene, microbatch_rays):
    def render_levels(*args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(MipNerf, "render_levels", render_levels)
    operation = OPERATION.model_copy(update={"microbatch_rays": microbatch_rays})
    with pytest.raises(ConfigError, match=rf"{microbatch_rays or 1} rays at a time do not fit.*microbatch_rays"):
        train(small_run, operation, small_scene, tmp_path, threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("microbatch_rays", [0, 16])
def test_a_compiled_network_takes_the_same_steps(tmp_path, monkeypatch, run_with, small_scene, microbatch_rays):
    """All but the code generator, which takes minutes on a CPU."""
    run = run_with(train={"precision": "float32"})
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    operation = OPERATION.model_copy(update={"microbatch_rays": microbatch_rays})
    train(run, operation, small_scene, tmp_path / "plain", threads=1)
    operation = operation.model_copy(update={"network": "compiled"})
    train(run, operation, small_scene, tmp_path / "compiled", threads=2)
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "compiled")[name], value, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_a_compiled_network_leaves_samples_out_of_its_gradient(tmp_path, monkeypatch, run_with, small_scene):
    run = run_with(train={"precision": "float32", "backward_share": 0.5})
    # Compiled, it is drawn in the backward pass, after the other random numbers.
    monkeypatch.setattr(pruning, "random_start", lambda *_: torch.tensor(0.3, dtype=torch.float64))
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    train(run, OPERATION, small_scene, tmp_path / "plain", threads=1)
    operation = OPERATION.model_copy(update={"network": "compiled"})
    counters.clear()
    train(run, operation, small_scene, tmp_path / "compiled", threads=1)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    # Of samples whose gradients are alike, either may be taken by another rounding.
    for name, value in weights(tmp_path / "plain").items():
        torch.testing.assert_close(weights(tmp_path / "compiled")[name], value, atol=1e-3, rtol=0.0)


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_trained_as_it_is(tmp_path, monkeypatch, small_run, small_scene, caplog):
    def fail(*_):
        raise ValueError("no compiler on this machine")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=fail))
    train(small_run, OPERATION, small_scene, tmp_path / "plain", threads=1)
    operation = OPERATION.model_copy(update={"network": "compiled"})
    train(small_run, operation, small_scene, tmp_path / "failed", threads=1)
    assert "cannot be compiled and runs as it is" in caplog.text
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "failed"))
