"""A run that was imported is never trained over, whatever else is asked for: nothing could bring it back."""

import pytest
import torch

from mipnerf.config import ModelConfig
from mipnerf.network.model import MipNerf

from .conftest import Project, jobs

RUN = "results/bricks/mipnerf/bricks"
WIDTH = 8


@pytest.fixture(scope="module")
def imported(finished_project, tmp_path_factory) -> Project:
    """The finished toy project, in which one trained run was removed and imported in its place; not to be changed."""
    pytest.importorskip("msgpack", reason="the extra `interop` is not installed: pip install -e '.[interop]'")
    from foreign_checkpoints import write_flax

    torch.manual_seed(0)
    model = MipNerf(ModelConfig(net_depth=2, net_width=WIDTH, net_width_condition=8, num_samples=8))
    folder = tmp_path_factory.mktemp("imported")
    write_flax(folder / "checkpoint", model)
    project = Project(folder / "project", finished_project.folder)
    project.run(f"rm -r {RUN}")
    project.run(f"python -m mipnerf import {folder}/checkpoint {RUN} --set model.num_samples=8")
    return project


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
    assert "Evaluating bricks/mipnerf/bricks" in output


def test_it_is_evaluated_and_kept(imported, tmp_path):
    project = Project(tmp_path / "project", imported.folder)
    model = project.folder / RUN / "model.pt"
    before = model.read_bytes()
    project.toy("--forcerun", "train", "--", f"{RUN}/metrics.csv")
    project.toy()
    assert model.read_bytes() == before
    assert "imported" in (project.folder / "results" / "table.md").read_text()
    assert "Nothing to be done" in project.toy("-n").stdout
    # New data are evaluated anew, although no training tells of them.
    assert jobs(project.toy("-n", "--config", "bricks={size: 64}").stdout)["evaluate"] == 2
