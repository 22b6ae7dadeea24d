"""A run that was imported is never trained over, whatever else is asked for: nothing could bring it back."""

import pytest
import torch

from mipnerf.config import ModelConfig
from mipnerf.model import MipNerf

from .conftest import jobs

RUN = "results/bricks/mipnerf/bricks"
WIDTH = 8


@pytest.fixture
def imported(copy_of_finished, tmp_path):
    """The finished toy project, in which one trained run was removed and imported in its place."""
    pytest.importorskip("msgpack", reason="the extra `interop` is not installed: pip install -e '.[interop]'")
    from foreign_checkpoints import write_flax

    torch.manual_seed(0)
    model = MipNerf(ModelConfig(net_depth=2, net_width=WIDTH, net_width_condition=8, num_samples=8))
    write_flax(tmp_path / "checkpoint", model)
    copy_of_finished.run(f"rm -r {RUN}")
    copy_of_finished.run(f"python -m mipnerf import {tmp_path}/checkpoint {RUN} --set model.num_samples=8")
    return copy_of_finished


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        ([], 0),
        (["--forcerun", "train"], 1),
        (["--config", "train={max_steps: 30}"], 1),
        (["--config", "bricks={size: 64}"], 1),
        (["--forceall"], 1),
    ],
    ids=str,
)
def test_only_other_runs_are_trained(imported, arguments, others):
    output = imported.toy("-n", *arguments).stdout
    assert jobs(output).get("train", 0) == others
    assert "Training mipnerf on" not in output
    assert "Evaluating level 0 of bricks/mipnerf/bricks" in output


def test_it_is_evaluated_and_kept(imported):
    model = imported.folder / RUN / "model.pt"
    before = model.read_bytes()
    imported.toy("--forcerun", "train")
    assert model.read_bytes() == before
    assert "imported" in (imported.folder / "results" / "table.md").read_text()
    assert "Nothing to be done" in imported.toy("-n").stdout
    # New data are evaluated anew, although no training tells of them.
    assert jobs(imported.toy("-n", "--config", "bricks={size: 64}").stdout)["evaluate"] == 8
