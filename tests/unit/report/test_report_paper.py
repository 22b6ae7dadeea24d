"""The paper's tables from runs that have its numbers, digit for digit, and what the verdict says of others."""

import csv
import io
import math
import re

import pandas as pd
import pytest
import yaml
from report_files import table_files

from mipnerf.config import parse_config
from mipnerf.report.frame import read_runs
from mipnerf.report.progress import Progress, gather
from mipnerf.report.reference import METHODS, load_reference
from mipnerf.report.summary import method_means
from mipnerf.report.tables.formats import to_csv, to_html, to_latex, to_markdown
from mipnerf.report.tables.output import write_tables
from mipnerf.report.tables.paper import paper_report
from mipnerf.report.tables.verdict import (
    BETTER,
    EQUAL,
    NOT_COMPARABLE,
    WITHIN,
    WORSE,
    Number,
    compared,
    overall,
    verdict_frame,
    verdict_page,
)
from mipnerf.training.history import HistoryRow, write_rows

SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]
LEVELS = {"multiscale_blender": ["_full", "_half", "_quarter", "_eighth"], "blender": [""]}
NERF = {"single_mlp": False, "num_samples": 64, "num_fine_samples": 128}
VIEWS = 200
TITLE_COLUMNS = 2  # method and source


def read_texts(folder, name):
    return pd.read_csv(folder / f"{name}.csv", comment="#", dtype=str, keep_default_na=False)


def write_published(root, dataset, variant, row, offsets=None):
    """Eight runs whose means are the words of `row`; `offsets` are what single scenes depart from them, by metric."""
    folders = []
    for i, scene in enumerate(SCENES):
        values = {
            (level, metric): float(row[f"{metric}{suffix}"]) + (offsets or {}).get(metric, {}).get(scene, 0.0)
            for level, suffix in enumerate(LEVELS[dataset])
            for metric in ("psnr", "ssim", "lpips")
            if f"{metric}{suffix}" in row
        }
        if "seconds_per_megapixel" in row:
            seconds = float(row["seconds_per_megapixel"])
            values |= {(level, "seconds_per_megapixel"): seconds for level in range(4)}
        # Half of the scenes above and half below the median.
        hours = float(row.get("train_hours", 1)) + (-1) ** i * float(row.get("train_hours_mad", 0))
        folder = root / dataset / variant / scene
        folder.mkdir(parents=True)
        lines = [
            f"{dataset},{variant},{scene},{level},{view},{metric},{value!r}\n"
            for (level, metric), value in values.items()
            for view in range(VIEWS)
        ]
        (folder / "metrics.csv").write_text("dataset,variant,scene,level,view,metric,value\n" + "".join(lines))
        parameters = {"612K": 612_740, "1191K": 1_191_688}[row.get("params", "612K")]
        model = {"net_depth": 8, "net_width": 256, "num_samples": 128, "num_levels": 2}
        model |= NERF if "nerf_area" in variant or variant == "nerf" else {}
        model |= {"single_mlp": False} if variant == "mipnerf_wo_single_mlp" else {}
        record = {"num_parameters": parameters, "device": "cpu", "width": 800, "height": 800, "train_views": 100}
        config = {"dataset": dataset, "variant": variant, "scene": scene, "levels": len(LEVELS[dataset])}
        config |= {"model": model, "train": {"max_steps": 1_000_000, "batch_size": 4096, "seed": 0}, "data": {}}
        config["record"] = record | {"train_seconds": 3600 * hours, "data_verified": True}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        folders.append(folder)
    return folders


def scene_offsets(reference_folder, dataset):
    """By how much the published scenes of mip-NeRF depart from their mean."""
    rows = read_texts(reference_folder, "per_scene").query("dataset == @dataset and implementation == 'jax'")
    offsets = {}
    for metric in ("psnr", "ssim", "lpips"):
        if (rows[metric] != "").all():
            values = rows.set_index("scene")[metric].astype(float)
            offsets[metric] = (values - values.mean()).to_dict()
    return offsets


def write_table(root, reference_folder, name, dataset):
    folders = []
    rows = read_texts(reference_folder, name).set_index("method")
    for variant, title in METHODS[dataset].items():
        if title in rows.index:
            offsets = scene_offsets(reference_folder, dataset) if variant == "mipnerf" else None
            folders += write_published(root, dataset, variant, rows.loc[title], offsets)
    return folders


@pytest.fixture(scope="module")
def published_runs(tmp_path_factory, reference_folder):
    """Runs that have the numbers of Tables 1 and 2, and of mip-NeRF's single scenes; tests must not change them."""
    root = tmp_path_factory.mktemp("published")
    folders = write_table(root, reference_folder, "multiscale_blender_table1", "multiscale_blender")
    return read_runs(folders + write_table(root, reference_folder, "single_scale_blender_table2", "blender"))


@pytest.fixture(scope="module")
def reference(reference_folder):
    return load_reference(reference_folder)


def ours_of(table):
    """The cells of our row of each method, by the method."""
    return {row[0].text: row[TITLE_COLUMNS:] for row in table.rows if row[1].text == "ours"}


def published_cells(reference_folder, name, titles, columns):
    """What is printed in the paper, as (text, spread)."""
    rows = read_texts(reference_folder, name).set_index("method")
    return {
        title: [(rows.at[title, c], rows.at[title, f"{c}_mad"] if f"{c}_mad" in rows else "") for c in columns]
        for title in titles
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"), [("table1", "multiscale_blender_table1"), ("table2", "single_scale_blender_table2")]
)
def test_the_papers_numbers_come_out_digit_for_digit(published_runs, reference, reference_folder, name, file):
    tables, comparisons = paper_report(published_runs, reference)
    (table,) = [table for table in tables if table.name == name]
    ours = ours_of(table)
    columns = [c for c in read_texts(reference_folder, file) if c != "method" and not c.endswith("_mad")]
    published = published_cells(reference_folder, file, ours, columns)
    assert len(ours) == {"table1": 9, "table2": 7}[name]
    for title, cells in ours.items():
        assert [(cell.text, cell.spread) for cell in cells] == published[title]
        assert {cell.verdict for cell in cells} == {EQUAL}
    order = list(dict.fromkeys(row[0].text for row in table.rows))
    assert order == list(read_texts(reference_folder, file)["method"])
    # In every format, the row of mip-NeRF is the paper's.
    numbers = [text for text, _ in published["Mip-NeRF"]]
    written = next(row for row in csv.reader(io.StringIO(to_csv(table))) if row[:2] == ["Mip-NeRF", "ours"])
    assert [text for text in written[2:] if text not in ("0.01", "0.00")] == numbers
    for text in (to_markdown(table), to_latex(table), to_html(table)):
        (line,) = [
            line
            for line in text.splitlines()
            if "Mip-NeRF " in line.replace("<", " ") and "ours" in line and "w/o" not in line
        ]
        assert all(number in line for number in numbers)
    counted = [one for one in comparisons if one.table == f"Table {name[-1]}"]
    assert (
        overall(counted)
        == f"**As published, digit for digit:** all {len(ours) * (13 if name == 'table1' else 4)} numbers are equal."
    )


def test_the_third_table_comes_out_digit_for_digit(tmp_path, reference, reference_folder):
    # Published numbers are rounded, so that the mean of their four levels need not round to the published mean:
    # (32.60 + 34.30 + 35.41 + 35.55) / 4 = 34.465, published as 34.46.
    hidden = {("Mip-NeRF", "psnr_eighth"): "35.549"}
    rows = read_texts(reference_folder, "supersampling_table3").set_index("method")
    folders = []
    for variant, title in METHODS["multiscale_blender"].items():
        if title in rows.index:
            row = rows.loc[title].to_dict()
            folders += write_published(
                tmp_path, "multiscale_blender", variant, row | {k: v for (t, k), v in hidden.items() if t == title}
            )
    tables, comparisons = paper_report(read_runs(folders), reference)
    (table,) = [table for table in tables if table.name == "table3"]
    for title, cells in ours_of(table).items():
        assert [cell.text for cell in cells] == list(rows.loc[title])
    counted = [one for one in comparisons if one.table == "Table 3"]
    assert len(counted) == 4 * 6
    assert {one.verdict for one in counted} == {EQUAL}


def off_by(tmp_path, reference_folder, **changes):
    """Runs of mip-NeRF on the multiscale scenes, with the paper's numbers but for `changes`."""
    row = read_texts(reference_folder, "multiscale_blender_table1").set_index("method").loc["Mip-NeRF"].to_dict()
    changed = {key: repr(float(row[key]) + change) for key, change in changes.items()}
    offsets = scene_offsets(reference_folder, "multiscale_blender")
    return read_runs(write_published(tmp_path, "multiscale_blender", "mipnerf", row | changed, offsets))


def test_a_number_that_is_off_is_named(tmp_path, reference, reference_folder):
    runs = off_by(tmp_path, reference_folder, psnr_eighth=-0.5, psnr_full=0.2, ssim_half=0.0004, lpips_full=0.0011)
    tables, comparisons = paper_report(runs, reference)
    verdicts = {one.title: one.verdict for one in comparisons if one.table == "Table 1"}
    off = {"PSNR 1/8": WORSE, "PSNR Full": BETTER, "SSIM 1/2": WITHIN, "LPIPS Full": WORSE, "Avg.": WITHIN}
    assert verdicts == dict.fromkeys(verdicts, EQUAL) | off
    assert [cell.verdict for cell in ours_of(tables[0])["Mip-NeRF"]] == list(verdicts.values())
    first, *_ = overall(comparisons).split("; ")
    assert first == "**Worse than published** in Table 1, Mip-NeRF, PSNR 1/8: 35.102, published 35.602 (-0.500)"
    assert "Table 1, Mip-NeRF, LPIPS Full: 0.0480, published 0.0469 (+0.0011)" in overall(comparisons)
    page = verdict_page(comparisons)
    assert page.startswith(f"# Verdict\n\n{overall(comparisons)}\n\nBy scene: ")
    assert page.index("| 35.602 |") < page.index("| 32.629 |") < page.index("| 0.9703 |")
    delta = next(row for row in tables[0].rows if row[1].text == "delta")
    assert [cell.text for cell in delta[2:6]] == ["+0.200", "+0.000", "+0.000", "-0.500"]
    frame = verdict_frame(comparisons).query("table == 'Table 1' and verdict == 'worse'")
    assert frame["delta"].tolist() == pytest.approx([-0.5, 0.0011])
    assert frame["tolerance"].tolist() == pytest.approx([0.1, 0.001])


@pytest.mark.parametrize(
    ("number", "jax", "metric", "verdict"),
    [
        (Number(35.6, "35.600", 8), "35.600", "psnr", EQUAL),
        (Number(35.7, "35.700", 8), "35.600", "psnr", WITHIN),
        (Number(35.701, "35.701", 8), "35.600", "psnr", BETTER),
        (Number(35.701, "35.701", 1), "35.600", "psnr", WITHIN),
        (Number(0.985, "0.985", 8), "0.984", "ssim", BETTER),
        (Number(0.012, "0.012", 8), "0.010", "lpips", WORSE),
        (Number(0.007, "0.007", 8), "0.010", "lpips", BETTER),
        # 2 s √(1 + 1/n) = 0.245, whatever the number of scenes.
        (Number(35.36, "35.360", 8, seeds=2, spread=0.1), "35.600", "psnr", WITHIN),
        (Number(35.35, "35.350", 1, seeds=2, spread=0.1), "35.600", "psnr", WORSE),
        (Number(35.35, "35.350", 1, seeds=1, spread=0.1), "35.600", "psnr", WITHIN),
        # What was published may be 0.005 larger.
        (Number(35.5952, "35.60", 8, seeds=3, spread=0.0), "35.60", "psnr", EQUAL),
        (Number(35.594, "35.59", 8, seeds=3, spread=0.0), "35.60", "psnr", WORSE),
        (Number(2.9, "2.90"), "2.84", "train_hours", NOT_COMPARABLE),
        (Number(2.84, "2.84"), "2.84", "train_hours", EQUAL),
    ],
)
def test_verdicts(number, jax, metric, verdict):
    names = ("table", "dataset", "variant", "method", "scene", "level", "title")
    identity = dict.fromkeys(names, "x") | {"metric": metric}
    assert compared(number, jax, [], **identity).verdict == verdict
    refused = compared(number, jax, ["other views", "y"], **identity)
    assert (refused.verdict, refused.reason) == (NOT_COMPARABLE, "other views; y")


def test_what_is_not_comparable_says_why(make_run, reference):
    runs = read_runs([make_run("multiscale_blender", "mipnerf", "lego", data_verified=False)])
    (table1, table3, scenes), comparisons = paper_report(runs, reference)
    conditions = "other training budget, resolution, test views; data not the official files"
    assert {one.reason for one in comparisons if one.scene == "mean"} == {f"1 of 8 scenes; {conditions}"}
    assert {one.reason for one in comparisons if one.scene == "lego"} == {conditions}
    note = f"**Not comparable with Jax:** all of ours (1 of 8 scenes; {conditions})."
    assert note in table1.notes
    assert note in table3.notes
    assert overall(comparisons).startswith(
        "**Not comparable** with the published numbers, all 13 of them: 1 of 8 scenes; "
    )
    sources = {row[2].text: row[3].text for row in scenes.rows if row[0].text == "PSNR"}
    others = {"mipnerf-pytorch": "35.65", "mipnerf_pl": "35.402", "nerf-factory": "35.71"}
    assert sources == {"ours": "31.55", "Jax": "35.74", "delta": "-4.19"} | others


def test_a_mean_over_some_scenes_says_so_and_is_not_ranked(make_run, reference):
    runs = [
        make_run("multiscale_blender", "mipnerf", scene, psnr=psnr)
        for scene, psnr in zip(SCENES[:3], (30, 33, 36), strict=True)
    ]
    runs.append(make_run("multiscale_blender", "mipnerf_wo_ipe", "lego"))
    progress = [
        Progress("multiscale_blender", "mipnerf", "lego", "running", 250, 1000),
        Progress("multiscale_blender", "nerf", "lego", "not begun", 0, 1000),
    ]
    table = paper_report(read_runs(runs), reference, progress)[0][0]
    titles = [column.name for column in table.columns]
    assert titles[:5] == ["Method", "Source", "Scenes", "Steps", "PSNR ↑ Full"]
    ours = {row[0].text: [cell.text for cell in row[2:5]] for row in table.rows if row[1].text == "ours"}
    assert ours == {
        "NeRF (Jax Impl.)": ["0 of 8", "0 of 1,000", "—"],
        "Mip-NeRF": ["3 of 8", "3,250 of 4,000", "33.050"],
        "Mip-NeRF w/o IPE": ["1 of 8", "1,000 of 1,000", "30.050"],
    }
    assert all(cell.rank is None for row in table.rows for cell in row)
    # The published methods that nobody runs are there, too.
    assert [row[1].text for row in table.rows if row[0].text == "NeRF + Area Loss"] == ["Jax"]


def test_a_scene_with_seeds_of_its_own_counts_no_seed_twice(make_run, reference):
    runs = [
        make_run(scene="wall", seed=1),
        make_run(variant="mipnerf_seed2", scene="wall", seed=2),
        make_run(scene="door", seed=0),
    ]
    waiting = [Progress("bricks", "mipnerf_seed2", "door", "not begun", 0, 1000)]
    for progress, counted in (([], "1 of 2"), (waiting, "1 of 2")):
        table = paper_report(read_runs(runs), reference, progress)[0][0]
        seeds = [column.name for column in table.columns].index("Seeds")
        assert [row[seeds].text for row in table.rows] == [counted]


def test_seeds_are_one_row_with_their_spread(make_run, reference, tmp_path):
    runs = [
        make_run(variant="mipnerf", psnr=30.0, seed=0),
        make_run(variant="mipnerf_seed1", psnr=31.0, seed=1),
        make_run(variant="mipnerf_wo_ipe", psnr=28.0, seed=0),
    ]
    runs = read_runs(runs)
    assert [(run.method, run.seed) for run in runs] == [("mipnerf", 0), ("mipnerf", 1), ("mipnerf_wo_ipe", 0)]
    (table, scenes), _ = paper_report(runs, reference)
    assert [column.name for column in table.columns[:3]] == ["Method", "Seeds", "PSNR ↑ Full"]
    assert [[cell.full_text for cell in row[:3]] for row in table.rows] == [
        ["mipnerf", "2", "30.55 ± 0.71"],
        ["mipnerf_wo_ipe", "1", "28.05"],
    ]
    assert [cell.full_text for cell in scenes.rows[0]] == ["PSNR", "mipnerf", "ours", "32.05 ± 0.71"]
    write_tables(tmp_path / "out", runs, reference)
    text = (tmp_path / "out" / "table.md").read_text()
    assert "**32.05 ± 0.71**" in text
    assert "Means over 2 seeds ± their standard deviation, where a variant has several." in text
    assert text.count("mipnerf_seed1") == 1  # in the table of runs
    first = next(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert (first["variant"], first["value"], first["seeds"]) == ("mipnerf", "30.55", "2")
    assert float(first["spread"]) == pytest.approx(math.sqrt(0.5))


def test_a_seed_with_fewer_scenes_is_left_out_of_the_mean_and_counted(make_run, reference, tmp_path):
    runs = [make_run(variant="mipnerf", scene=scene, psnr=30.0, seed=0) for scene in ("wall", "roof")]
    runs = read_runs([*runs, make_run(variant="mipnerf_seed1", scene="wall", psnr=32.0, seed=1)])
    means = method_means(runs).loc["mipnerf", "psnr", 0]
    assert (means["value"], means["seeds"], means["scenes"]) == (pytest.approx(30.05), 1, ("roof", "wall"))
    (table, scenes), _ = paper_report(runs, reference)
    assert [cell.full_text for cell in table.rows[0][:3]] == ["mipnerf", "1 of 2", "30.05"]
    assert [cell.full_text for cell in scenes.rows[0][3:]] == [
        "32.55 ± 1.41",
        "31.55 (1 of 2 seeds)",
        "31.55 (1 of 2 seeds)",
    ]
    write_tables(tmp_path / "out", runs, reference)
    assert "31.55 (1 of 2 seeds)" in (tmp_path / "out" / "table.md").read_text()


def test_a_metric_that_one_seed_lacks_is_missing(make_run, reference):
    first = make_run(variant="mipnerf", lpips=0.1, seed=0)
    runs = read_runs([first, make_run(variant="mipnerf_seed1", seed=1)])
    means = method_means(runs)["value"]
    assert means["mipnerf", "psnr", 0] == pytest.approx(30.05)
    assert means.loc["mipnerf", "lpips"].isna().all()
    assert means.loc["mipnerf", "avg_error"].isna().all()
    assert [cell.text for cell in paper_report(runs, reference)[0][0].rows[0][-4:-2]] == ["—", "—"]


def test_every_file_is_there_and_every_link_leads_to_one(make_run, reference, tmp_path):
    datasets = {"blender": (0,), "llff": (0,), "bricks": (0, 1, 2, 3)}
    runs = [make_run(dataset, scene="fern", levels=levels, lpips=0.2) for dataset, levels in datasets.items()]
    write_tables(tmp_path, read_runs(runs), reference)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert set(table_files(datasets)) == {name for name in written if not name.startswith("results/")}
    text = (tmp_path / "table.md").read_text()
    links = re.findall(r"\]\(([^)]+\.md)\)", text)
    assert len(links) == 7
    assert all((tmp_path / link).exists() for link in links)
    llff = (tmp_path / "tables" / "llff_scenes.md").read_text()
    assert "nerf-factory" in llff
    assert "24.92" in llff
    assert "Jax" not in llff
    assert "Jax" not in (tmp_path / "tables" / "bricks.md").read_text()


def test_runs_that_still_train_are_gathered_with_their_steps(make_run, tmp_path):
    done = make_run(variant="mipnerf", scene="bricks")
    results = done.parents[2]
    variants = {name: {} for name in ("mipnerf", "nerf", "mipnerf_wo_ipe")}
    values = {"datasets": {"bricks": {"source": "bricks", "scenes": ["bricks"]}}, "train": {"max_steps": 1000}}
    values["variants"] = variants | {"ss_mipnerf": {"model_of": "mipnerf", "data": {"supersample": True}}}
    values["runs"] = [
        {"dataset": "bricks", "variants": ["mipnerf"], "seeds": [0, 3]},
        {"dataset": "bricks", "variants": ["nerf", "mipnerf_wo_ipe", "ss_mipnerf"]},
    ]
    suite = parse_config(values)
    checkpoints = results / "bricks" / "mipnerf_seed3" / "bricks" / "checkpoints" / "0123"
    write_rows(
        checkpoints / "history.csv",
        [HistoryRow(100, 1.0, 2.0, 3.0, 4.0, 5.0), HistoryRow(400, 1.0, 2.0, 3.0, 4.0, 9.0)],
    )
    trained = results / "bricks" / "nerf" / "bricks" / "model.pt"
    trained.parent.mkdir(parents=True)
    trained.touch()
    runs, progress = gather(results, suite)
    assert [run.folder for run in runs] == [done]
    assert [(run.method, run.variant, run.step, run.max_steps) for run in progress] == [
        ("mipnerf", "mipnerf_seed3", 400, 1000),
        ("nerf", "nerf", 1000, 1000),
        ("mipnerf_wo_ipe", "mipnerf_wo_ipe", 0, 1000),
        ("ss_mipnerf", "ss_mipnerf", 0, 0),
    ]
    # Trained again, and not yet evaluated.
    (done / "model.pt").touch()
    assert [run.method for run in gather(results, suite)[0]] == []
