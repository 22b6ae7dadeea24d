"""Every command of the README and of docs/ is run, with the toy configuration so that it ends in seconds."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from scene_files import pack

from mipnerf.config.files import read_suite
from mipnerf.config.runs import resolve_runs
from mipnerf.datasets.bricks import render_bricks
from mipnerf.planning.costs import count_jobs

from .conftest import ROOT, jobs
from .test_dry_run import PROFILES, need_plugin
from .test_end_to_end import FORCED

README = (ROOT / "README.md").read_text()
DOCS = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "config/README.md")}
PAGES |= {f"docs/{name}.md": text for name, text in DOCS.items()}
ARCHIVE = "/path/to/nerf_synthetic.zip"
TOY_STEPS = (
    "'train={max_steps: 10, batch_size: 32}' 'model={net_width: 16, num_samples: 8}' 'data={max_test_views: 1}' "
    "'orbit={frames: 2, width: 16}'"
)


# Commands within sentences that are run elsewhere, as what they are or as a part of a longer one.
INLINE = {
    "snakemake --unlock": "tests/cluster/test_slurm.py",
    "python -m rules.suite.dry_runs --trainings 40 1000 10000": "test_the_dry_runs_are_measured",
    "python -m mipnerf status --watch 60": "tests/unit/training/test_status.py",
    "python -m mipnerf tables --watch": "tests/unit/report/test_report_partial.py",
    "python -m mipnerf inspect mine/desk --configfile desk.yaml": "test_own_capture.py",
    "pytest -m golden": "tests/unit/test_golden_comparison.py",
    "pytest tests/unit": "the suite itself",
    "python -m mipnerf schema > config/schemas/config.schema.json": "tests/unit/config/test_config.py",
    "snakemake -n --config 'runs=[{dataset: NAME, variants: [mipnerf]}]'": "tests/workflow/test_dry_run.py",
    "snakemake figures": "tests/workflow/test_reruns.py",
    "snakemake --forcerun evaluate": "tests/workflow/test_shards.py",
    "snakemake metrics": "tests/workflow/test_reruns.py",
    "snakemake models": "tests/workflow/test_reruns.py",
    "snakemake --forcerun train -- TARGET": "tests/workflow/test_end_to_end.py",
    "snakemake --report results/snakemake_report.html": "test_the_report_of_snakemake_is_made_of_finished_results",
    "snakemake -n -p": "tests/workflow/test_dry_run.py",
    "python -m mipnerf bench": "tests/unit/bench/test_bench.py",
    "python -m mipnerf check": "tests/unit/bench/test_check.py",
    "python -m mipnerf plan --gpus 8 --bench FILE": "tests/unit/planning/test_planning.py",
    "snakemake --cores 8 results/plots/scaling.svg": "tests/workflow/test_scaling.py",
}
# Blocks of which each line is run, here or by the test of that name.
BLOCKS = (
    "workflow_scripts/bricks.py",
    "config/lego.yaml",
    "config/paper.yaml --workflow-profile",
    "config/ablations.yaml",
    "mipnerf import",
    "--configfile desk.yaml",  # test_own_capture.py
    "--configfile phone.yaml",  # test_own_capture.py
    "video_spherical.mp4",  # test_video.py
    "--snakefile /path/to/mip-nerf",  # test_elsewhere.py
    "squeue --me",  # tests/cluster
    "docker build",
)


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of each shell block, by its marker; unmarked ones are `by hand N`."""
    found = re.findall(r"(?:<!-- (\w+) -->\n)?```sh\n(.*?)```", text, re.DOTALL)
    return {name or f"by hand {i}": content.strip().splitlines() for i, (name, content) in enumerate(found)}


def commands_of_table() -> list[str]:
    """Commands in the table of what one can ask for."""
    return re.findall(r"`((?:snakemake|python) [^`]+)`", DOCS["results"].split("\n\n")[1])


def test_set_up_is_one_line_each():
    marked = blocks(README)
    (run,), (tests,) = marked["run"], marked["tests"]
    set_up = "python3 -m venv .venv && . .venv/bin/activate && pip install -e "
    assert run.startswith(set_up + ". && ")
    assert run.endswith("snakemake --cores 8 results/table.md")
    assert tests.startswith(set_up + "'.[dev]' && ")
    assert tests.endswith("pytest")


def test_the_readme_is_short_and_each_page_answers_a_question():
    assert len(README.splitlines()) <= 150
    for name, text in DOCS.items():
        assert re.match(r"# (What|Where|Which|How|Who|When|Why) [^\n]+\?\n\n", text), name
        assert f"(docs/{name}.md) | {text.splitlines()[0].removeprefix('# ')} |" in README


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_be_filled_in_and_every_link_leads_somewhere(page):
    assert not re.search(r"@[A-Z_]+@", PAGES[page])
    for link in re.findall(r"\]\((?!http)([^)]+)\)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), link


def test_contributors_are_sent_to_what_is_there():
    named = re.findall(r"`?((?:mipnerf|tests|config|rules|workflow_scripts|docs)/[\w./]+)`?", PAGES["CONTRIBUTING.md"])
    missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing


def test_no_page_has_a_command_that_no_test_runs():
    known = {*INLINE, *commands_of_table()}
    for page, text in PAGES.items():
        prose = " ".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split())
        assert set(re.findall(r"`((?:snakemake|pytest|python -m) [^`]+)`", prose)) <= known, page
    docs = [lines for text in DOCS.values() for lines in blocks(text).values()]
    for lines in docs:
        assert sum(part in lines[0] for part in BLOCKS) == 1, lines
    # The README repeats what the pages explain.
    repeated = {line for lines in docs for line in lines} | known
    for name, lines in blocks(README).items():
        assert name in ("run", "tests", "checks") or set(lines) <= repeated, lines


def test_the_dry_runs_are_measured(project):
    printed = project.run("python -m rules.suite.dry_runs --trainings 40 --repeats 1").stdout
    ours = printed.splitlines()[-1].split()
    assert ours[0] == "40"
    # As many jobs as the bare Snakefile has, of which the numbers of inputs and outputs follow.
    assert ours[1] == ours[4] == "323"


def test_a_number_of_trainings_that_cannot_be_measured_is_refused(project):
    assert "multiples of 40" in project.run("python -m rules.suite.dry_runs --trainings 7", check=False).stdout


def test_the_forced_training_that_is_tested_elsewhere_is_that_of_the_table():
    assert FORCED in commands_of_table()


@pytest.mark.parametrize("command", [command for command in commands_of_table() if command != FORCED])
def test_a_command_of_the_table_works(copy_of_finished, command):
    if (profile := Path(command.split()[-1]).name) in PROFILES and profile != "local":
        need_plugin(profile)
        command += " -n"
    if command.startswith("snakemake"):
        toy = "config/test/toy.yaml"
        if "--config" in command:  # All begins anew: one variant will do.
            values = yaml.safe_load((ROOT / toy).read_text())
            values["runs"][0]["variants"] = ["mipnerf"]
            (copy_of_finished.folder / (toy := "one.yaml")).write_text(yaml.safe_dump(values))
        command = command.replace("snakemake", f"snakemake --configfile {toy}", 1)
        command = command.replace("max_steps: 500", "max_steps: 5")
    copy_of_finished.run(command)


def test_the_report_of_snakemake_is_made_of_finished_results(copy_of_finished):
    (command,) = re.findall(r"`(snakemake --report [^`]+)`", DOCS["results"].replace("\n", " "))
    copy_of_finished.run(command.replace("snakemake", "snakemake --configfile config/test/toy.yaml", 1))
    report = (copy_of_finished.folder / "results/snakemake_report.html").read_text()
    for part in (
        "Tables",
        "Figures",
        "Images",
        "bricks_scenes",
        "was tested on views",
        "against steps and against time",
    ):
        assert part in report


def block_with(text: str) -> list[str]:
    """The lines of the one block that has `text` in its first line."""
    (lines,) = [lines for page in DOCS.values() for lines in blocks(page).values() if text in lines[0]]
    return lines


@pytest.fixture
def archive(tmp_path) -> Path:
    """An archive in the layout of the Blender scenes, with a lego that consists of bricks."""
    render_bricks(tmp_path / "blender" / "lego", size=96, num_train=3, num_val=1, num_test=2, samples=1, workers=1)
    return pack(tmp_path / "blender", tmp_path / "archive.zip")


def test_the_container_makes_a_table(tmp_path):
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker is running")
    build, run = block_with("docker build")
    subprocess.run(build, shell=True, cwd=ROOT, check=True)
    line = run.replace("--gpus all ", "").replace("results/table.md", "--dry-run")
    assert "train" in subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout


def test_the_commands_by_hand_work_in_their_order(project):
    lines = block_with("workflow_scripts/bricks.py")
    assert [Path(shlex.split(line)[1]).stem for line in lines] == ["bricks", "convert", "train", "evaluate"]
    for line in lines:
        line = line.replace("--threads 2", "--threads 1")
        if "bricks.py" in line:
            line += " --size 96 --train 3 --val 1 --test 1 --samples 1"
        project.run(line.replace("max_steps=2000", "max_steps=5"))
    assert (project.folder / "results/bricks/by_hand/bricks/level_3/metrics.csv").exists()


def test_the_lego_command_works_on_an_archive_of_that_layout(project, archive):
    download, line = block_with("config/lego.yaml")
    assert jobs(project.run(f"{download} -n").stdout)["download_scene"] == 1
    line = line.replace(ARCHIVE, str(archive)).replace("--config ", f"--config {TOY_STEPS} ")
    project.run(line)
    table = (project.folder / "results" / "table.md").read_text()
    assert "35.74" in table
    assert "96×96" in table
    assert "not directly comparable" in table
    assert "Data not the official files:** lego" in table


@pytest.mark.parametrize(("name", "trainings"), [("ablations", 9), ("paper", 168)])
def test_the_commands_of_the_tables_plan_every_row(project, tmp_path, name, trainings):
    """Every row is trained at toy scale in test_paper.py."""
    if "slurm" in (line := block_with(f"config/{name}.yaml")[0]):
        need_plugin("slurm")
    (tmp_path / "archive.zip").touch()
    sources = dict.fromkeys(("nerf_synthetic", "nerf_llff_data"), str(tmp_path / "archive.zip"))
    for source, path in sources.items():
        line = line.replace(ARCHIVE.replace("nerf_synthetic", source), path)
    counts = jobs(project.run(line + " -n").stdout)
    assert counts["train"] == trainings
    suite = read_suite(ROOT, [ROOT / f"config/{name}.yaml"]).model_copy(update={"sources": sources})
    # `plan` counts what Snakemake counts.
    assert count_jobs(suite, resolve_runs(suite)) == {rule: n for rule, n in counts.items() if rule != "total"}


def test_a_pretrained_model_is_evaluated_and_never_trained(project, tmp_path, archive):
    pytest.importorskip("msgpack", reason="the extra `interop` is not installed: pip install -e '.[interop]'")
    from foreign_checkpoints import write_flax

    from mipnerf.config import ModelConfig
    from mipnerf.network.model import MipNerf

    torch.manual_seed(0)
    write_flax(tmp_path / "checkpoint", MipNerf(ModelConfig(net_depth=2, net_width=8, net_width_condition=8)))
    first, second, third = block_with("mipnerf import")
    first = first.replace("/path/to/checkpoint_1000000", str(tmp_path / "checkpoint"))
    project.run(first + " --set model.num_samples=8")
    model = project.folder / "results/multiscale_blender/mipnerf/lego/model.pt"
    imported = model.read_bytes()
    few = "--config verify=off 'datasets={multiscale_blender: {levels: 2}}' "
    second = second.replace(ARCHIVE, str(archive)).replace("--config ", few)
    # Data that is made, or made anew, later than the model must not have it trained over.
    for arguments in ("", " --forcerun convert_scene"):
        counts = jobs(project.run(second.replace(" -- ", f"{arguments} -- ")).stdout)
        assert "train" not in counts
        assert counts["convert_scene"] == 1
        assert counts["evaluate"] == 1
        assert model.read_bytes() == imported
    project.run(third)
    assert (project.folder / "checkpoint_1000000").stat().st_size > 0
