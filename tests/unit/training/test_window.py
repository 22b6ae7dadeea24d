"""What is summed up between two rows of a history outlives a stop."""

import time

import pytest
import torch

from mipnerf.config import TrainConfig
from mipnerf.training.window import Window

CPU = torch.device("cpu")


def test_a_window_goes_on_as_the_one_whose_state_it_got():
    losses = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    whole, first, second = (Window(2, CPU) for _ in range(3))
    for window in (whole, first):
        window.start_clock()
    for i, loss in enumerate(losses):
        whole.add(loss)
        if i < 3:
            first.add(loss)
    time.sleep(0.1)
    state = first.state()
    second.restore(state)
    time.sleep(0.1)  # in which nothing trains
    assert second.seconds == state["seconds"] >= 0.1
    second.start_clock()
    for loss in losses[3:]:
        second.add(loss)
    rows = [window.close(5, 10.0, 1e-3, TrainConfig()) for window in (whole, second)]
    assert rows[0].losses == rows[1].losses
    assert (rows[0].loss, rows[0].psnr) == (rows[1].loss, rows[1].psnr)
    assert 10.1 <= rows[1].seconds < rows[0].seconds
    assert rows[1].rays_per_s == pytest.approx(5 * TrainConfig().batch_size / (rows[1].seconds - 10))


def test_the_clock_leaves_out_what_is_no_training():
    window = Window(1, CPU)
    window.start_clock()
    with window.off_the_clock():
        before = window.seconds
        time.sleep(0.2)
        assert window.seconds == before
    assert window.seconds < 0.2
    time.sleep(0.01)
    assert window.seconds > before + 0.01
