"""What stands around the code: constraints, container, hooks, public checks, the catalogue of workflows."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mipnerf import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
README = (ROOT / "README.md").read_text()


def read_yaml(name: str):
    return yaml.safe_load((ROOT / name).read_text())


def checks() -> list[str]:
    """The commands of the README besides the tests."""
    (lines,) = re.findall(r"<!-- checks -->\n```sh\n(.*?)```", README, re.DOTALL)
    return lines.strip().splitlines()


def test_constraints_name_a_release_that_is_allowed_for_all_that_rules_need():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        canonicalize_name(name): release for name, release in (line.split("==") for line in lines if "==" in line)
    }
    assert all(line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    needed = [
        *PROJECT["dependencies"],
        *(line for extra in EXTRAS.keys() - {"dev", "energy"} for line in EXTRAS[extra]),
    ]
    for requirement in map(Requirement, needed):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_the_changelog_begins_with_this_version():
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == __version__


@pytest.mark.parametrize("requirement", [*map(Requirement, PROJECT["dependencies"])], ids=lambda each: each.name)
def test_what_is_installed_is_what_is_asked_for(requirement):
    assert requirement.specifier.contains(version(requirement.name), prereleases=True)
    assert any(bound.operator == ">=" for bound in requirement.specifier)


def test_the_container_is_made_of_what_is_here():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1])
    (extras,) = re.findall(r"'\.\[(.*)\]'", "\n".join(lines))
    assert set(extras.split(",")) == EXTRAS.keys() - {"dev"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"data", "results", ".venv", ".git"} <= set(ignored)


def test_hooks_are_checks_of_the_readme():
    (local,) = read_yaml(".pre-commit-config.yaml")["repos"]
    tools = {" ".join(check.split()[: 2 if check.startswith("ruff") else 1]) for check in checks()}
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["name"] in tools
        assert hook["language"] == "system"


def test_the_public_checks_are_those_of_every_clone():
    steps = read_yaml(".github/workflows/checks.yml")["jobs"]["checks"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]


def test_issue_forms_are_whole():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) == 3
    for form in map(yaml.safe_load, map(Path.read_text, forms)):
        assert form["name"]
        assert form["description"]
        for field in form["body"]:
            assert field["type"] in ("textarea", "input", "checkboxes")
            assert field["attributes"]["label"]


def test_the_catalogue_finds_what_it_asks_for():
    usage = read_yaml(".snakemake-workflow-catalog.yml")["usage"]
    assert usage["software-stack-deployment"]["conda"] == (ROOT / "config" / "envs" / "mipnerf.yaml").exists()
    assert usage["report"]
    assert (ROOT / "config" / "README.md").exists()
