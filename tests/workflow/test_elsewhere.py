"""The workflow in other folders than its own, and as a module of another one."""

import pytest

from .conftest import ROOT, SINGLE, Folder, jobs
from .test_dry_run import DEFAULT

PAGE = ROOT / "docs" / "elsewhere.md"


@pytest.fixture
def folder(project, tmp_path) -> Folder:
    """A working folder beside the project, in which nothing is."""
    return Folder(tmp_path / "work" / "deep")


def test_a_working_folder_with_nothing_in_it_gets_the_defaults(project, folder):
    for arguments in (
        ["-s", str(project.folder / "Snakefile")],
        ["-s", str(project.folder / "Snakefile"), "--directory", "below"],
    ):
        output = folder.snakemake("-n", "-p", *arguments).stdout
        assert jobs(output) == DEFAULT | {"all": 1}
        assert f"python {project.folder}/workflow_scripts/train.py" in output
    command = project.command("-n", "-p", "-s", "../Snakefile")
    (project.folder / "notes").mkdir()
    output = project.run(f"cd notes && {' '.join(command)}").stdout
    assert jobs(output) == DEFAULT | {"all": 1}


def test_a_file_of_the_working_folder_wins_over_the_workflows(project, folder):
    (folder.folder / "config").mkdir()
    (folder.folder / "config" / "config.yaml").write_text("runs: [{dataset: bricks, variants: [mipnerf]}]\n")
    assert jobs(folder.snakemake("-n", "-s", str(project.folder / "Snakefile")).stdout)["train"] == 1


def test_all_is_made_in_the_working_folder_and_nothing_in_the_workflows(project, folder):
    before = sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts)
    toy = ["--cores", "2", *SINGLE, "--configfile", str(project.folder / "config/test/toy.yaml")]
    toy += ["--workflow-profile", str(project.folder / "config/profiles/local")]
    folder.snakemake("-s", str(project.folder / "Snakefile"), *toy)
    assert "bricks" in (folder.folder / "results" / "table.md").read_text()
    assert sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts) == before
    assert "Nothing to be done" in folder.snakemake("-n", "-s", str(project.folder / "Snakefile"), *toy).stdout
    text = folder.run("python -m mipnerf status").stdout
    assert "bricks/mipnerf/bricks" in text


def test_the_example_of_the_page_builds_on_the_workflow_as_a_module(project, folder):
    text = PAGE.read_text()
    snakefile = text.split("```python\n")[1].split("```")[0]
    values = text.split("```yaml\n")[1].split("```")[0]
    (folder.folder / "Snakefile").write_text(snakefile.replace("/path/to/mip-nerf", str(project.folder)))
    (folder.folder / "mine.yaml").write_text(values)
    toy = "bricks={size: 96, num_train: 4, num_val: 1, num_test: 2}"
    small = ["model={net_depth: 2, net_width: 16, num_samples: 8}", "train={batch_size: 64, max_steps: 20}"]
    output = folder.snakemake("--cores", "2", *SINGLE, "--config", toy, *small).stdout
    counts = jobs(output)
    assert (counts["mipnerf_train"], counts["mipnerf_evaluate"], counts["summary"]) == (1, 1, 1)
    assert (folder.folder / "summary.txt").read_text().count("PSNR") == 1
    assert (folder.folder / "mipnerf" / "results" / "bricks" / "mipnerf" / "bricks" / "model.pt").exists()
    again = folder.snakemake("-n", "--config", toy, *small).stdout
    assert "Nothing to be done" in again
    forced = folder.snakemake("--cores", "2", *SINGLE, "--forcerun", "mipnerf_train", "--config", toy, *small).stdout
    assert jobs(forced)["mipnerf_train"] == 1
    log = folder.folder / "mipnerf" / "results" / "bricks" / "mipnerf" / "bricks" / "logs" / "train.log"
    assert "training anew" in log.read_text()
