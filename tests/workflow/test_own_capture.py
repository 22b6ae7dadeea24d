"""The own capture of docs/captures.md: from one entry of a configuration and a folder of photographs to the tables."""

import csv
import json
import math
import re

import pytest
import yaml
from capture_files import make_toy, transforms_of, write_images, write_json
from photo_files import take_pictures, write_video

from .conftest import ROOT, Project, jobs

SECTION = (ROOT / "docs" / "captures.md").read_text()
TOY = (
    "'train={max_steps: 10, batch_size: 32}' 'model={net_depth: 2, net_width: 16, num_samples: 8}' "
    "'datasets={mine: {levels: 2}}' 'orbit={frames: 2, width: 16}'"
)


def test_one_entry_trains_scores_and_tabulates_a_capture(tmp_path):
    project = Project(tmp_path / "project")
    toy = make_toy(views=9, width=41, height=33, suffix=".jpg")
    write_json(write_images(toy, tmp_path / "captures" / "desk"), transforms_of(toy))
    _, configuration, *_ = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    (project.folder / "desk.yaml").write_text(configuration.replace("~/captures", str(tmp_path / "captures")))
    _, command = re.findall(r"```sh\n(.*?)\n```", SECTION, re.DOTALL)
    project.run(f"{command.replace('--cores 8', '--cores 2')} --config {TOY}")

    run = project.folder / "results" / "mine" / "mipnerf" / "desk"
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert (recorded["record"]["train_views"], recorded["record"]["width"], recorded["record"]["height"]) == (7, 40, 32)
    assert recorded["data"]["layout"] == "transforms"
    with open(run / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["level"], row["view"]) for row in rows} == {(level, view) for level in "01" for view in "01"}
    assert all(math.isfinite(float(row["value"])) for row in rows)
    table = (project.folder / "results" / "table.md").read_text()
    assert "## mine" in table
    assert "40×32" in table
    (inspect,) = re.findall(r"`(python -m mipnerf inspect [^`]+)`", SECTION)
    assert "mine/desk" in project.run(inspect).stdout


@pytest.mark.slow
def test_a_video_becomes_a_report_by_one_command(tmp_path):
    pytest.importorskip("pycolmap", reason="the extra `sfm` is not installed: pip install -e '.[sfm]'")
    project = Project(tmp_path / "project")
    write_video(take_pictures(samples=1)[0], tmp_path / "captures" / "desk.mp4")
    configuration, *_ = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    (project.folder / "phone.yaml").write_text(configuration.replace("~/captures", str(tmp_path / "captures")))
    command, _ = re.findall(r"```sh\n(.*?)\n```", SECTION, re.DOTALL)
    toy = TOY.replace("mine", "phone").replace("levels: 2", "levels: 1")
    command = f"{command.replace('--cores 8', '--cores 2')} --config {toy}"
    made = jobs(project.run(command).stdout)
    assert (made["fetch_scene"], made["find_cameras"], made.get("convert_scene")) == (1, 1, None)
    assert (project.folder / "results" / "report.html").exists()
    scene = project.folder / "data" / "phone" / "desk"
    assert json.loads((scene / "summary.json").read_text())["registered"] == 10
    assert (scene / "cameras.png").stat().st_size > 0
    run = project.folder / "results" / "phone" / "mipnerf" / "desk"
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert (recorded["record"]["train_views"], recorded["data"]["layout"]) == (8, "colmap")
    # Nothing is left to do, also where the video has another age.
    (tmp_path / "captures" / "desk.mp4").touch()
    assert not jobs(project.run(f"{command} -n").stdout)
