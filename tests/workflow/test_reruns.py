"""Every row of docs/reruns.md, in a folder in which all is there."""

import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from capture_files import make_toy, transforms_of, write_json
from PIL import Image
from scene_files import pack

from .conftest import ROOT, SINGLE, Project, jobs, three_datasets

ROWS = re.findall(r"^\| (.+?) \| (.+?) \|$", (ROOT / "docs/reruns.md").read_text(), re.MULTILINE)[1:]
SUMMARY = Counter(aggregate=1, all=1)


def shown(tables: int, scenes: int = 1, datasets: int = 1) -> Counter:
    """Tables and pictures of some datasets, and table.md."""
    return Counter(table=tables, plot=2 * datasets, strip=scenes) + SUMMARY


BRICKS, LEGO, MINE = shown(2), shown(3), shown(2)
ALL = Counter(table=7, plot=6, strip=3) + SUMMARY
TRAINED = Counter(train=1, evaluate=1)
EACH = Counter(train=3, evaluate=3)


class Finished(Project):
    """A finished folder with a configuration, and the data beside it."""

    @property
    def captures(self) -> Path:
        return self.folder.parent / "captures"

    @property
    def archive(self) -> Path:
        return self.folder.parent / "blender.zip"

    @property
    def configuration(self) -> dict:
        return yaml.safe_load((self.folder / "mine.yaml").read_text())

    def write_configuration(self, values: dict) -> None:
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(values))

    def configured(self, *arguments: str) -> str:
        """What Snakemake says to this configuration."""
        return self.snakemake("--cores", "2", *SINGLE, "--configfile", "mine.yaml", *arguments).stdout


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Finished:
    """Three datasets with one run each, finished."""
    base = tmp_path_factory.mktemp("original")
    folder = Finished(base / "project")
    values = three_datasets(base)
    values["runs"] = [
        {"dataset": "bricks", "variants": ["mipnerf"]},
        {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]},
        {"dataset": "mine", "variants": ["mipnerf"]},
    ]
    folder.write_configuration(values)
    folder.configured("--", "all", "figures")
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Finished:
    """A copy of the finished folder and of its data, to be changed at will."""
    base = tmp_path / "copy"
    shutil.copytree(original.folder.parent, base, ignore=shutil.ignore_patterns("project"))
    copy = Finished(base / "project", original.folder)
    values = copy.configuration
    values["sources"] = {"captures": str(copy.captures), "nerf_synthetic": str(copy.archive)}
    copy.write_configuration(values)
    return copy


def values(**changes: object) -> Callable[[Finished], None]:
    """An edit of the configuration."""

    def change(folder: Finished) -> None:
        folder.write_configuration(folder.configuration | changes)

    return change


def entry(**changes: object) -> Callable[[Finished], None]:
    """An edit of the entry of `runs` for the bricks."""

    def change(folder: Finished) -> None:
        content = folder.configuration
        content["runs"][0] |= changes
        folder.write_configuration(content)

    return change


def removed(name: str) -> Callable[[Finished], None]:
    return lambda folder: (folder.folder / "results" / name).unlink()


def dataset(name: str, **changes: object) -> Callable[[Finished], None]:
    def change(folder: Finished) -> None:
        content = folder.configuration
        content["datasets"][name] |= changes
        folder.write_configuration(content)

    return change


def one_run_less(folder: Finished) -> None:
    content = folder.configuration
    content["runs"].pop()
    folder.write_configuration(content)


def turn_photograph(folder: Finished) -> None:
    image = sorted(folder.captures.rglob("*.png"))[0]
    Image.open(image).rotate(180).save(image)


def one_frame_less(folder: Finished) -> None:
    toy = make_toy(views=9, width=40, height=32)
    content = transforms_of(toy)
    content["frames"].pop()
    write_json(folder.captures / "desk", content)


def add_text(folder: Finished) -> None:
    (folder.captures / "desk" / "README.txt").write_text("Taken on a Sunday.")


def change_archive(folder: Finished) -> None:
    scenes = folder.archive.with_suffix("")
    Image.new("RGBA", (32, 32), (9, 8, 7, 255)).save(sorted(scenes.rglob("*.png"))[0])
    pack(scenes, folder.archive)


def move_archive(folder: Finished) -> None:
    pack(folder.archive.with_suffix(""), folder.archive, compression=zipfile.ZIP_DEFLATED)
    os.rename(folder.archive, moved := folder.archive.with_name("moved.zip"))
    content = folder.configuration
    content["sources"]["nerf_synthetic"] = str(moved)
    folder.write_configuration(content)


def add_comments(folder: Finished) -> None:
    for name in ("mine.yaml", "rules/train.smk", "rules/suite/request.py", "mipnerf/training/loop.py"):
        path = folder.folder / name
        path.write_text(path.read_text() + "\n# A remark.\n")


def edit_rule(folder: Finished) -> None:
    path = folder.folder / "rules" / "train.smk"
    path.write_text(path.read_text().replace('"--set {params.settings:q}', '" --set {params.settings:q}'))


def edit_reference(folder: Finished) -> None:
    path = folder.folder / "config" / "reference" / "per_scene.csv"
    path.write_text(path.read_text() + "\n")


FETCHED = Counter(fetch_scene=1)
RUN = "bricks/mipnerf/bricks"
CHANGES: dict[str, tuple[Callable[[Finished], None], Counter]] = {
    "nothing": (lambda folder: None, Counter()),
    "a value of `model`, `train` or `data` for all runs": (values(data={"white_bkgd": False}), EACH + ALL),
    "a value of one dataset": (dataset("mine", train={"seed": 3}), TRAINED + MINE),
    "the variants of an entry of `runs`: one more": (entry(variants=["mipnerf", "mipnerf_wo_ipe"]), TRAINED + BRICKS),
    "the seeds of an entry of `runs`: one more": (entry(seeds=[0, 1]), TRAINED + BRICKS),
    "the entries of `runs`: one less": (one_run_less, SUMMARY),
    "`data.max_test_views`": (values(data={"max_test_views": 1}), Counter(evaluate=3) + ALL),
    "`lpips`": (values(lpips=True), Counter(lpips_weights=1, evaluate=3) + ALL),
    "`eval_shards`": (values(eval_shards=4), Counter()),
    "`operation`, `launcher`, `video`": (
        values(operation={"save_every": 7}, launcher="nice", video={"frames": 9}),
        Counter(),
    ),
    "`verify`, `downloads`": (
        values(verify="warn", downloads={"nerf_synthetic": [{"url": "http://localhost/{scene}.zip"}]}),
        Counter(),
    ),
    "`crops`": (values(crops={"bricks/bricks": {"view": 0, "x": 1, "y": 1, "size": 8}}), Counter(pyramid=1, figures=1)),
    "`bricks`": (
        values(bricks={"size": 96, "num_train": 4, "num_val": 1, "num_test": 3}),
        Counter(render_bricks=1, convert_scene=1) + TRAINED + BRICKS,
    ),
    "a photograph of a capture": (turn_photograph, FETCHED + TRAINED + MINE),
    "the cameras of a capture": (one_frame_less, FETCHED + TRAINED + MINE),
    "a text file beside the photographs": (add_text, Counter()),
    "a file in an archive, which is packed anew": (
        change_archive,
        FETCHED + Counter(convert_scene=1) + TRAINED + LEGO,
    ),
    "the place, the age or the kind of an archive": (move_archive, Counter()),
    "a capture, which is taken away": (lambda folder: shutil.rmtree(folder.captures), Counter()),
    "a comment in a configuration file or in the code": (add_comments, Counter()),
    "the command of a rule": (edit_rule, EACH + ALL),
    "`results/table.md`, which is removed": (removed("table.md"), SUMMARY),
    "`metrics.csv` of a run, which is removed": (removed(f"{RUN}/metrics.csv"), Counter(evaluate=1, metrics=1)),
    "`model.pt` of a run, which is removed": (removed(f"{RUN}/model.pt"), Counter(train=1, models=1)),
    "the published numbers in `config/reference/`": (edit_reference, Counter(table=7, plot=6) + SUMMARY),
}


def test_every_row_of_the_page_is_tested():
    assert [change for change, _ in ROWS] == list(CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_the_page_says(folder, change):
    make, expected = CHANGES[change]
    make(folder)
    # What is not asked for by name is not missed.
    asked = [rule for rule in ("figures", "metrics", "models") if rule in expected]
    if "until it is asked for" in dict(ROWS)[change]:
        assert "Nothing to be done" in folder.configured("-n")
    output = folder.configured("-n", "--", *(asked or ["all"]))
    assert Counter(jobs(output)) == expected
    if not expected:
        assert "Nothing to be done" in output
    if "taken away" in change:
        assert "does not exist" in output
    if change == "the command of a rule":
        triggers = yaml.safe_load((ROOT / "config/profiles/slurm/profile.v9+.yaml").read_text())["rerun-triggers"]
        assert "Nothing to be done" in folder.configured("-n", "--rerun-triggers", *triggers)
