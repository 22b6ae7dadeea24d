import re
import resource
import subprocess
import tomllib
from types import SimpleNamespace

import pytest
import yaml

from .conftest import ROOT, Project, jobs

DEFAULT = {
    "render_bricks": 1,
    "convert_scene": 1,
    "train": 2,
    "evaluate": 2,
    "plot": 2,
    "strip": 1,
    "table": 2,
    "aggregate": 1,
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> SimpleNamespace:
    """A dry run of the default configuration where torch cannot be imported: its output, CPU seconds and folder."""
    project = Project(tmp_path_factory.mktemp("plan") / "project")
    (project.folder / "torch.py").write_text("raise SystemExit('torch was imported')")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    output = project.run(project.command("-n", "-p", "--cores", "2")).stdout
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return SimpleNamespace(output=output, seconds=seconds, folder=project.folder)


def test_the_default_configuration_asks_for_exactly_these_jobs(plan):
    assert jobs(plan.output) == DEFAULT | {"all": 1}


def test_named_targets_are_sentences(project):
    assert jobs(project.snakemake("-n", "data").stdout) == {"render_bricks": 1, "convert_scene": 1, "data": 1}
    counts = jobs(project.snakemake("-n", "models", "metrics").stdout)
    assert counts["train"] == 2
    assert "aggregate" not in counts


def test_threads_follow_what_was_granted(plan, project):
    one = project.snakemake("-n", "-p", "--cores", "1", "results/table.md").stdout
    assert jobs(one) == DEFAULT
    for granted, output in (("2", plan.output), ("1", one)):
        assert f"--threads {granted}/$MIPNERF_CORES --log results/bricks/mipnerf/bricks/logs/train.log" in output


def test_one_scene_is_one_training_and_its_evaluations(project):
    counts = jobs(project.snakemake("-n", "results/bricks/mipnerf/bricks/metrics.csv").stdout)
    assert counts == {"render_bricks": 1, "convert_scene": 1, "train": 1, "evaluate": 1}


def test_every_seed_is_trained_and_adopted_by_itself(project):
    runs = "runs=[{dataset: bricks, variants: [mipnerf, ss_mipnerf], seeds: [0, 1]}]"
    output = project.snakemake("-n", "-p", "--config", runs, "--", "results/table.md").stdout
    assert {rule: jobs(output)[rule] for rule in ("train", "adopt", "evaluate")} == {
        "train": 2,
        "adopt": 2,
        "evaluate": 4,
    }
    assert (
        "adopt.py --run results/bricks/mipnerf_seed1/bricks --output results/bricks/ss_mipnerf_seed1/bricks" in output
    )
    assert "--set train.seed=1" in output


def test_a_large_sweep_is_planned_at_once_and_its_names_are_targets(project):
    """Five by five values with three seeds."""
    values = "lr_init: [1.0e-3, 2.0e-3, 4.0e-3, 8.0e-3, 1.6e-2], batch_size: [16, 32, 64, 128, 256]"
    runs = f"runs=[{{dataset: bricks, variants: [mipnerf], seeds: [0, 1, 2], sweeps: {{train: {{{values}}}}}}}]"
    output = project.snakemake("-n", "--config", runs, "--", "all").stdout
    more = {"all": 1, "train": 75, "evaluate": 75, "table": 3, "plot": 3}
    assert jobs(output) == DEFAULT | more
    target = "results/bricks/mipnerf-batch_size=64-lr_init=0.002_seed1/bricks/metrics.csv"
    output = project.snakemake("-n", "-p", "--config", runs, "--", target).stdout
    assert jobs(output) == {"render_bricks": 1, "convert_scene": 1, "train": 1, "evaluate": 1}
    assert "train.batch_size=64" in output
    refused = project.snakemake("-n", "--config", runs, "--", target.replace("=64", "=65"), check=False)
    assert refused.returncode
    assert f"did you mean\n  {target}" in refused.stdout


@pytest.mark.parametrize("name", ["lego", "lego_gpu"])
def test_a_configuration_file_replaces_the_runs(project, tmp_path, name):
    archive = tmp_path / "archive.zip"
    archive.touch()
    counts = jobs(
        project.snakemake(
            "-n", "--configfile", f"config/{name}.yaml", "--config", f"sources={{nerf_synthetic: {archive}}}"
        ).stdout
    )
    assert counts["train"] == 1
    assert counts["fetch_scene"] == 1
    assert "render_bricks" not in counts


def test_the_experiment_at_equal_time_leaves_out_each_idea_with_three_seeds(project, tmp_path):
    archive = tmp_path / "archive.zip"
    archive.touch()
    sources = f"sources={{nerf_synthetic: {archive}}}"
    experiment = "config/experiments/minutes.yaml"
    output = project.snakemake("-n", "-p", "--configfile", experiment, "--config", sources, "--", "all").stdout
    counts = jobs(output)
    assert {rule: counts[rule] for rule in ("train", "evaluate", "plot", "table")} == {
        "train": 24,
        "evaluate": 24,
        "plot": 3,
        "table": 3,
    }
    assert output.count("train.minutes=2") == 24
    assert "max_steps" not in output
    assert "plots/multiscale_blender_minutes.svg" in output
    lego = yaml.safe_load((ROOT / "config" / "lego.yaml").read_text())["runs"][0]
    runs = yaml.safe_load((ROOT / experiment).read_text())["runs"][0]
    del runs["train"]["minutes"], runs["data"]["max_test_views"]
    del lego["train"]["max_steps"], lego["data"]["max_test_views"]
    assert [runs[section] for section in ("model", "train", "data")] == [
        lego[section] for section in ("model", "train", "data")
    ]


def test_parsing_never_imports_torch_and_is_quick(plan):
    assert "torch was imported" not in plan.output
    # Two seconds, however busy the machine; the bound only catches a heavy import.
    assert plan.seconds < 10


def test_a_dry_run_writes_nothing(plan):
    assert not (plan.folder / "results").exists()
    assert not (plan.folder / "data").exists()


# The profiles, and what installs the plug-in of each.
PROFILES = {"local": None, "slurm": "slurm", "generic": "generic", "kubernetes": "generic"}


def need_plugin(profile: str) -> None:
    """Skip where the plug-in of a profile is not installed."""
    if extra := PROFILES[profile]:
        plugin = {"slurm": "slurm", "generic": "cluster_generic"}[extra]
        pytest.importorskip(
            f"snakemake_executor_plugin_{plugin}",
            reason=f"the extra `{extra}` is not installed: pip install -e '.[{extra}]'",
        )


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_load(project, profile):
    path = f"config/profiles/{profile}"
    need_plugin(profile)
    result = project.snakemake("-n", "--workflow-profile", path)
    assert re.search(r"Using workflow specific profile .*" + path, result.stdout)
    assert jobs(result.stdout) == DEFAULT | {"all": 1}


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_do_not_retrain_for_an_edited_rule(profile):
    path = ROOT / "config" / "profiles" / profile / "profile.v9+.yaml"
    values = yaml.safe_load(path.read_text())
    assert "code" not in values["rerun-triggers"]
    assert values["keep-going"] is True
    assert values["rerun-incomplete"] is True


def gpu_rules() -> set[str]:
    """The rules whose jobs ask for a GPU."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    blocks = re.split(r"^(?=rule |use rule )", text, flags=re.MULTILINE)
    rules = {re.match(r"rule (\w+)", block)[1] for block in blocks if block.startswith("rule ") and "gpu=" in block}
    return rules | {name for base, name in re.findall(r"^use rule (\w+) as (\w+)", text, re.MULTILINE) if base in rules}


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_know_every_rule_that_needs_a_gpu(profile):
    values = yaml.safe_load((ROOT / "config" / "profiles" / profile / "profile.v9+.yaml").read_text())
    jobs = values["set-resources"]
    assert {"train", "evaluate"} <= gpu_rules() <= jobs.keys()
    # The GPUs of a job have to be on one node; the other schedulers are asked for that in their scripts.
    assert profile != "slurm" or all(job["nodes"] == 1 for job in jobs.values())


# The extras that the commands of rules use; the others are for commands by hand, for Snakemake itself, and for tests.
EXTRAS_OF_RULES = {"drive", "energy", "lpips", "sfm", "tensorboard", "video"}
OTHER_EXTRAS = {"dev", "generic", "gpu", "interop", "mesh", "slurm"}


def test_the_conda_environment_asks_for_the_dependencies_of_the_package_and_of_the_extras_that_rules_use():
    names = {"pytorch": "torch", "snakemake-minimal": "snakemake", "tensorboardx": "tensorboardX"}
    wanted = yaml.safe_load((ROOT / "config" / "envs" / "mipnerf.yaml").read_text())["dependencies"]
    pairs = [requirement.split(" ") for requirement in wanted]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras.keys() == EXTRAS_OF_RULES | OTHER_EXTRAS, "a new extra is for rules, or it is not"
    requirements = [*project["dependencies"], *(package for extra in EXTRAS_OF_RULES for package in extras[extra])]
    package = [re.fullmatch(r"([A-Za-z0-9-]+)(.*)", requirement).groups() for requirement in requirements]
    package.append(("python", project["requires-python"]))
    assert sorted((names.get(name, name), version) for name, version in pairs) == sorted(set(package))


def test_the_drawn_rulegraph_is_the_workflows(project):
    readme = (ROOT / "docs" / "how-it-is-built.md").read_text()
    drawn = re.search(r"```mermaid\n(.*?)```", readme, re.DOTALL)[1]
    command = project.command("--rulegraph", "mermaid-js", "--quiet", "all")
    output = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=True
    ).stdout

    def edges(text):
        names = dict(re.findall(r"(id\d+)\[(\w+)\]", text))
        return {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", text)}

    assert edges(output)
    assert edges(drawn) == edges(output), f"replace the graph in docs/how-it-is-built.md by:\n{output}"
