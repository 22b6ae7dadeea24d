"""Weeks in one folder: one request after the other, each of which makes what it needs and nothing else."""

import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml
from capture_files import make_toy, transforms_of, write_json
from PIL import Image
from scene_files import pack, write_scene

from .conftest import SINGLE, Project, three_datasets

NOTHING: list[str] = []
TABLES = {"bricks": ["bricks", "bricks_scenes"], "mine": ["mine", "mine_scenes"]}
TABLES["multiscale_blender"] = ["table1", "table3", "multiscale_blender_scenes"]


class Weeks:
    """A folder, a configuration file in it that is edited again and again, and the data beside it."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "project")
        self.values = three_datasets(folder, ["lego", "ship"])
        self.archive, self.capture = folder / "blender.zip", folder / "captures" / "desk"

    def pack(self, compression: int = zipfile.ZIP_STORED) -> None:
        """Make the archive of the Blender scenes anew."""
        pack(self.archive.with_suffix(""), self.archive, compression=compression)

    def command(self, *targets: str, **values: object) -> list[str]:
        """What the jobs of a command say that they do, in alphabetical order, with `values` in the configuration."""
        self.values |= values
        (self.project.folder / "week.yaml").write_text(yaml.safe_dump(self.values))
        options = ("--cores", "2", *SINGLE, "--configfile", "week.yaml")
        output = self.project.snakemake(*options, *(("--", *targets) if targets else ())).stdout
        if not (messages := re.findall(r"^Job \d+: (.*)$", output, re.MULTILINE)):
            assert "Nothing to be done" in output
        # Whatever made the table shows the runs that are asked for, and no others.
        if not targets or {"all", "results/table.md"} & set(targets):
            assert self.rows() == self.asked_rows()
        return sorted(messages)

    def asked_rows(self) -> set[tuple[str, str, str]]:
        """Dataset, scene and variant of every run of the configuration."""
        scenes = {"bricks": ["bricks"], "mine": ["desk"]}
        return {
            (entry["dataset"], scene, variant)
            for entry in self.values["runs"]
            for scene in entry.get("scenes", scenes.get(entry["dataset"]))
            for variant in entry["variants"]
        }

    def rows(self) -> set[tuple[str, str, str]]:
        """Dataset, scene and variant of every row of the table."""
        lines = (self.project.folder / "results" / "table.csv").read_text().splitlines()
        header = lines[0].split(",")
        places = [header.index(name) for name in ("dataset", "scene", "variant")]
        found = {tuple(line.split(",")[place] for place in places) for line in lines[1:]}
        return {row for row in found if row[1] != "mean"}


def trained(*runs: str) -> list[str]:
    """The jobs that train and evaluate runs DATASET/VARIANT/SCENE."""
    names = [run.split("/") for run in runs]
    return [
        *(f"Training {variant} on {dataset}/{scene}" for dataset, variant, scene in names),
        *(f"Evaluating {run}" for run in runs),
    ]


def shown(dataset: str, *scenes: str) -> list[str]:
    """The jobs that tabulate and draw a dataset of which some scenes are new."""
    return [
        *(f"Making the table {name}" for name in TABLES[dataset]),
        *(f"Plotting the {kind} of {dataset}" for kind in ("levels", "history")),
        *(f"Drawing truth, renderings and errors of {dataset}/{scene}" for scene in scenes),
    ]


TABLE = "Making the short table"
BRICKS = {"dataset": "bricks", "variants": ["mipnerf", "mipnerf_wo_ipe"]}
LEGO = {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]}
MINE = {"dataset": "mine", "variants": ["mipnerf"]}
BRICKS_ROWS = {("bricks", "bricks", "mipnerf"), ("bricks", "bricks", "mipnerf_wo_ipe")}
LEGO_ROW, MINE_ROW = ("multiscale_blender", "lego", "mipnerf"), ("mine", "desk", "mipnerf")


@pytest.mark.slow
def test_weeks_in_one_folder(tmp_path):
    weeks = Weeks(tmp_path)
    results = weeks.project.folder / "results"

    def expect(ran: list[str], *expected: str | list[str]) -> None:
        """Compare what ran, job by job."""
        flat = [job for part in expected for job in ([part] if isinstance(part, str) else part)]
        assert Counter(ran) == Counter(flat)

    # 1. The default.
    bricks = [trained("bricks/mipnerf/bricks", "bricks/mipnerf_wo_ipe/bricks"), shown("bricks", "bricks")]
    data = ["Rendering the bricks", "Converting bricks to 4 resolution levels"]
    expect(weeks.command(runs=[BRICKS]), data, *bricks, TABLE)
    assert weeks.rows() == BRICKS_ROWS
    expect(weeks.command("results/table.md"), NOTHING)

    # 2. Then lego, from an archive, by the name of the table.
    fetched = ["Unpacking lego of nerf_synthetic", "Converting lego to 2 resolution levels"]
    lego = [trained("multiscale_blender/mipnerf/lego"), shown("multiscale_blender", "lego")]
    expect(weeks.command("results/table.md", runs=[LEGO]), fetched, *lego, TABLE)
    assert weeks.rows() == {LEGO_ROW}

    # 3. A capture.
    mine = [trained("mine/mipnerf/desk"), shown("mine", "desk")]
    expect(weeks.command("all", runs=[MINE]), "Unpacking desk of captures", *mine, TABLE)
    assert weeks.rows() == {MINE_ROW}

    # 4. All of them in one table: all is there but that.
    expect(weeks.command(runs=[BRICKS, LEGO, MINE]), TABLE)
    assert weeks.rows() == {*BRICKS_ROWS, LEGO_ROW, MINE_ROW}

    # 5. One more scene.
    both = LEGO | {"scenes": ["lego", "ship"]}
    ship = ["Unpacking ship of nerf_synthetic", "Converting ship to 2 resolution levels"]
    ship += trained("multiscale_blender/mipnerf/ship")
    expect(weeks.command(runs=[BRICKS, both, MINE]), ship, shown("multiscale_blender", "ship"), TABLE)

    # 6. One more variant, one scene asked for by name, before the rest.
    three = BRICKS | {"variants": [*BRICKS["variants"], "mipnerf_wo_misc"]}
    name = "bricks/mipnerf_wo_misc/bricks"
    expect(weeks.command(f"results/{name}/metrics.csv", runs=[three, both, MINE]), trained(name))
    expect(weeks.command(), shown("bricks", "bricks"), TABLE)

    # 7. One more seed.
    seeds = MINE | {"seeds": [0, 1]}
    second = trained("mine/mipnerf_seed1/desk")
    expect(weeks.command("all", runs=[three, both, seeds]), second, shown("mine", "desk"), TABLE)
    assert "±" in (results / "table.md").read_text()

    # 8. One of each is taken away.
    less = [*shown("bricks", "bricks"), *shown("multiscale_blender"), *shown("mine", "desk")]
    expect(weeks.command(runs=[BRICKS, LEGO, MINE]), less, TABLE)
    assert weeks.rows() == {*BRICKS_ROWS, LEGO_ROW, MINE_ROW}

    # 9. The figures and the page of one of them.
    pictures = [f"Drawing {kind} of mine/desk" for kind in ("details", "depth and opacity", "the cameras")]
    expect(weeks.command("figures", runs=[MINE]), pictures, "Plotting the cost of mine")
    around = "Rendering mine/mipnerf/desk from all around"
    expect(weeks.command("results/report.html"), around, "Making the report")

    # 10. LPIPS, of which the weights cannot be had here: the renderings stay.
    evaluated = ["Evaluating mine/mipnerf/desk", *shown("mine", "desk"), TABLE]
    picture = results / "mine/mipnerf/desk/level_0/renderings/000.png"
    before = picture.stat().st_mtime_ns
    expect(weeks.command(lpips=True), "Looking for the weights of VGG, or downloading them", evaluated)
    assert "LPIPS" in (results / "table.md").read_text()
    expect(weeks.command(lpips=False), evaluated)
    assert picture.stat().st_mtime_ns == before
    expect(weeks.command(runs=[BRICKS, LEGO, MINE]), TABLE)
    assert weeks.rows() == {*BRICKS_ROWS, LEGO_ROW, MINE_ROW}

    # 11. How jobs are run.
    expect(weeks.command(eval_shards=3), NOTHING)
    expect(weeks.command(eval_shards=1, operation={"print_every": 7}), NOTHING)

    # 12. A repaired image of the capture, edited in place, then one frame less.
    image = next((weeks.capture / "images").glob("*.png"), None) or next(weeks.capture.rglob("*.png"))
    pixels = Image.open(image).rotate(180)
    pixels.save(image)
    expect(weeks.command(), "Unpacking desk of captures", *mine, TABLE)
    pixels.rotate(90).resize(pixels.size).save(image)
    expect(weeks.command(), "Unpacking desk of captures", *mine, TABLE)
    expect(weeks.command(), NOTHING)
    fewer = transforms_of(make_toy(views=9, width=40, height=32))
    fewer["frames"] = fewer["frames"][:-1]
    write_json(weeks.capture, fewer)
    expect(weeks.command("all"), "Unpacking desk of captures", *mine, TABLE)
    (weeks.capture / "README.txt").write_text("Taken on a Sunday.")
    expect(weeks.command(), NOTHING)

    # 13. The archive under another name, packed otherwise, then replaced by one in which ship alone is another.
    weeks.pack(zipfile.ZIP_DEFLATED)
    moved = weeks.archive.with_name("moved.zip")
    weeks.archive.rename(moved)
    sources = weeks.values["sources"]
    expect(
        weeks.command(sources=sources | {"nerf_synthetic": str(moved)}, runs=[BRICKS, both, MINE]),
        shown("multiscale_blender"),
        TABLE,
    )
    write_scene(weeks.archive.with_suffix("") / "ship", {"train": 3, "val": 1, "test": 2}, 32, 32)
    Image.new("RGBA", (32, 32), (9, 8, 7, 255)).save(weeks.archive.with_suffix("") / "ship" / "train" / "r_0.png")
    weeks.pack()
    expect(weeks.command(sources=sources), ship, shown("multiscale_blender", "ship"), TABLE)

    # 14. The capture is gone, and what was made of it stays.
    shutil.rmtree(weeks.capture)
    expect(weeks.command(), NOTHING)

    # 15. Back to the default.
    expect(weeks.command(runs=[BRICKS]), TABLE)
    assert weeks.rows() == BRICKS_ROWS
    expect(weeks.command("all"), NOTHING)
