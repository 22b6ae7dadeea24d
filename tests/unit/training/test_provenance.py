"""A run says what made it: software, machine, starts and energy."""

import os
import platform
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from mipnerf import __version__
from mipnerf.config import OperationConfig
from mipnerf.errors import Interrupted
from mipnerf.training import loop as training
from mipnerf.training.loop import train
from mipnerf.training.provenance import EnergyMeter, driver_version, git_state, read_starts

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


def git(folder, *arguments):
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "-C", folder, *arguments], env=os.environ | identity, check=True, capture_output=True)


def test_a_checkout_has_a_commit_and_says_whether_it_was_changed(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "One")
    commit = git_state(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == f"{commit}, changed"
    (tmp_path / "inside").mkdir()
    assert git_state(tmp_path / "inside") is None  # such as a package that is installed within another project
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build  (dvs-builder@U16)",
    ],
)
def test_the_driver_tells_its_version(tmp_path, line):
    (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.3.0\n")
    assert driver_version(tmp_path / "version") == "535.104.05"
    assert driver_version(tmp_path / "none") is None


def make_zone(powercap, name, energy, span=1_000_000_000, what="package-0"):
    (powercap / name).mkdir(exist_ok=True)
    (powercap / name / "name").write_text(f"{what}\n")
    (powercap / name / "energy_uj").write_text(f"{energy}\n")
    (powercap / name / "max_energy_range_uj").write_text(f"{span}\n")


def test_energy_is_that_of_all_packages_since_the_start_also_where_a_counter_begins_anew(tmp_path):
    make_zone(tmp_path, "intel-rapl:0", 900_000_000)
    make_zone(tmp_path, "intel-rapl:1", 5_000_000)
    make_zone(tmp_path, "intel-rapl:0:0", 1, what="core")  # a part of the first
    make_zone(tmp_path, "intel-rapl:2", 1, what="psys")  # the whole machine, packages and all
    meter = EnergyMeter(CPU, tmp_path)
    assert meter.joules() == {"cpu_joules": 0.0, "gpu_joules": None}
    make_zone(tmp_path, "intel-rapl:0", 100_000_000)
    make_zone(tmp_path, "intel-rapl:1", 6_000_000)
    make_zone(tmp_path, "intel-rapl:0:0", 77_000_000, what="core")
    make_zone(tmp_path, "intel-rapl:2", 500_000_000, what="psys")
    assert meter.joules()["cpu_joules"] == 201.0
    make_zone(tmp_path, "intel-rapl:1", 7_500_000)
    assert meter.joules()["cpu_joules"] == 202.5
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    assert meter.joules()["cpu_joules"] is None
    assert EnergyMeter(CPU, tmp_path / "none").joules() == {"cpu_joules": None, "gpu_joules": None}


def record_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())["record"]


def test_every_start_of_a_training_is_recorded_and_no_other(tmp_path, monkeypatch, small_run, small_scene):
    operation = OperationConfig(device="cpu")
    original = training.Trainer.take_step

    def stop_at_5(self, *arguments):
        if self.step == 5:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "take_step", stop_at_5)
        with pytest.raises(Interrupted):
            train(small_run, operation, small_scene, tmp_path, threads=1)
    for _ in range(2):  # a finished training is only written out again
        train(small_run, operation, small_scene, tmp_path, threads=2)
    starts = record_of(tmp_path)["starts"]
    assert [(start["from_step"], start["to_step"], start["threads"]) for start in starts] == [(0, 5, 1), (5, 12, 2)]
    for start in starts:
        assert start["package_version"] == __version__
        assert (start["python"], start["torch"]) == (platform.python_version(), torch.__version__)
        assert start["host"] == platform.node()
        assert start["processes"] == 1
        assert start["git"] == git_state(ROOT)
        assert {"cuda", "cudnn", "driver", "cpu", "device", "system", "cpu_joules", "gpu_joules"} <= start.keys()


@pytest.mark.parametrize("text", ["", "{", "a: 1", "- 1\n- [2]", "\0"])
def test_a_damaged_journal_stops_no_training(tmp_path, text):
    (tmp_path / "starts.yaml").write_text(text)
    assert read_starts(tmp_path / "starts.yaml") == []


def test_the_citation_is_whole_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors", "type"}
    assert (citation["version"], citation["license"]) == (__version__, project["license"])
    assert all(author.keys() & {"name", "family-names"} for author in citation["authors"])
    (paper,) = citation["references"]
    assert paper["type"] == "conference-paper"
    assert paper["authors"][0]["family-names"] == "Barron"
    assert paper["year"] == 2021
    assert re.fullmatch(r"10\.\d{4,9}/\S+", paper["doi"])
