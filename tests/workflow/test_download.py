"""From a list of URLs alone to the tables, with the real lego on a server of this machine."""

import io
import json
import shlex
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import yaml
from download_server import Reply, serving

from .conftest import ROOT, jobs

VIEWS = {"train": 3, "val": 1, "test": 1}
PAPER = ["-n", "-p", "--configfile", "config/paper.yaml", "--", "data/sources/nerf_synthetic/lego/manifest.json"]


def few_views(archive: Path) -> bytes:
    """The first views of the lego in `archive`, as an archive of this scene alone."""
    stream = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(stream, "w") as target:
        names = [PurePosixPath(name) for name in source.namelist()]
        folder = next(name.parent for name in names if name.name == "transforms_train.json")
        for split, count in VIEWS.items():
            content = json.loads(source.read(f"{folder}/transforms_{split}.json"))
            content["frames"] = content["frames"][:count]
            target.writestr(f"lego/transforms_{split}.json", json.dumps(content))
            for frame in content["frames"]:
                name = PurePosixPath(frame["file_path"] + ".png")
                target.writestr(f"lego/{name}", source.read(str(folder / name)))
    return stream.getvalue()


@pytest.fixture
def configured(project):
    """A function: URL, values -> the arguments for a toy training on lego from there."""

    def write(url: str, **values) -> list[str]:
        toy = yaml.safe_load((ROOT / "config" / "test" / "toy.yaml").read_text())
        run = toy["runs"][0] | {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]}
        values |= {
            "runs": [run],
            "downloads": {"nerf_synthetic": [{"url": url}]},
            "datasets": {"multiscale_blender": {"levels": 2}},
            "data": {"factor": 4},
            "operation": {"print_every": 5, "download_attempts": 2, "download_backoff": 0.01},
        }
        (project.folder / "mirror.yaml").write_text(yaml.safe_dump(values))
        return ["--configfile", "mirror.yaml"]

    return write


def test_one_command_leads_from_nothing_but_urls_to_the_table(project, configured, lego_archive):
    with serving() as server:
        server.replies["/lego.zip"] = [Reply(few_views(lego_archive))]
        lines = configured(server.url("/{scene}.zip"), verify="warn")
        # A dry run does not touch the network.
        assert jobs(project.snakemake("-n", *lines).stdout)["download_scene"] == 1
        assert not server.requests
        counts = jobs(project.snakemake("--cores", "2", *lines).stdout)
        assert (counts["download_scene"], counts["train"], counts["evaluate"]) == (1, 1, 1)
        assert len(server.requests) == 1
    table = (project.folder / "results" / "table.md").read_text()
    assert "| lego " in table
    assert "**Data not the official files:** lego" in table
    assert not list((project.folder / "data" / "downloads").rglob("*.zip"))
    log = (project.folder / "data" / "logs" / "download_scene" / "nerf_synthetic_lego.log").read_text()
    assert "official files are missing" in log
    # What is there stays, wherever it could be had from now; but it is not what strict asks for.
    lines = configured("http://localhost:1/{scene}.zip", verify=False)
    assert "Nothing to be done" in project.snakemake("-n", *lines).stdout
    refused = project.snakemake("-n", *configured("http://localhost:1/{scene}.zip"), check=False)
    assert refused.returncode != 0
    assert "data/sources/nerf_synthetic/lego holds other files than the official ones" in refused.stdout


def test_a_failed_download_leaves_one_message_and_nothing_else(project, configured):
    with serving() as server:
        target = ["--", "data/sources/nerf_synthetic/lego/manifest.json"]
        lines = ["--cores", "1", *configured(server.url("/{scene}.zip")), *target]
        result = project.snakemake(*lines, check=False)
        assert len(server.requests) == 1  # a missing file is not asked for again
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert f"{server.url('/lego.zip')}: 404 Not Found" in result.stdout
    assert not (project.folder / "data" / "sources" / "nerf_synthetic" / "lego").exists()


def test_the_copy_of_the_site_comes_before_the_network(project, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "nerf_synthetic.tar.gz").touch()
    line = f"MIPNERF_SOURCES={tmp_path}/site {shlex.join(project.command(*PAPER))}"
    output = project.run(line).stdout
    assert "Unpacking lego of nerf_synthetic" in output
    assert f"--source {tmp_path}/site/nerf_synthetic.tar.gz" in output
    assert "--checksums config/checksums/nerf_synthetic/lego.sha256 --verify strict" in output
