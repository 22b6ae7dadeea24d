"""The result table digit for digit, and what it must leave out."""

import math
import shutil

import pandas as pd
import pytest

from mipnerf.errors import DataError
from mipnerf.report.frame import METRICS, read_runs
from mipnerf.report.reference import MEAN, load_reference
from mipnerf.report.summary import summarise
from mipnerf.report.tables.short import markdown_tables, tidy_tables
from mipnerf.training.history import format_duration

SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]


def build_tables(run_folders, reference_folder, figures=(), lpips_reason=None):
    """The Markdown text of some runs, and the same numbers as a tidy frame."""
    runs, reference = read_runs(run_folders), load_reference(reference_folder)
    tidy = summarise(runs, reference, asked=["lpips"] if lpips_reason else [])
    return markdown_tables(runs, tidy, reference, figures, lpips_reason), tidy_tables(tidy)


def rows_of(markdown, metric, dataset="bricks"):
    """The cells of one Markdown table below its headings, without the header."""
    section = markdown.split(f"## {dataset}\n")[1].split(f"### {metric}\n")[1].split("###")[0].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_table_of_one_scene_and_two_variants(make_run, reference_folder):
    runs = [make_run(psnr=30.0, ssim=0.9), make_run(variant="mipnerf_wo_ipe", psnr=28.0, ssim=0.95)]
    markdown, _ = build_tables(runs, reference_folder)
    assert rows_of(markdown, "PSNR") == [
        ["wall", "mipnerf", "**30.05**", "**31.05**", "**32.05**", "**33.05**", "**31.55**", "—"],
        ["wall", "mipnerf_wo_ipe", "28.05", "29.05", "30.05", "31.05", "29.55", "—"],
    ]
    assert rows_of(markdown, "SSIM") == [
        ["wall", "mipnerf", "0.9005", "0.9105", "0.9205", "0.9305", "0.9155", "—"],
        ["wall", "mipnerf_wo_ipe", "**0.9505**", "**0.9605**", "**0.9705**", "**0.9805**", "**0.9655**", "—"],
    ]
    header = markdown.split("### PSNR\n\n")[1].splitlines()[0]
    titles = ["Scene", "Variant", "Full", "1/2", "1/4", "1/8", "Average (PyTorch)", "Average (Jax)"]
    assert [cell.strip() for cell in header.strip("|").split("|")] == titles


def test_one_variant_is_not_bold_and_one_scene_has_no_mean(make_run, reference_folder):
    markdown, tidy = build_tables([make_run()], reference_folder)
    assert rows_of(markdown, "PSNR") == [["wall", "mipnerf", "30.05", "31.05", "32.05", "33.05", "31.55", "—"]]
    assert MEAN not in set(tidy["scene"])
    assert "Bold" not in markdown


def test_equal_digits_are_both_bold(make_run, reference_folder):
    runs = [make_run(psnr=30.0), make_run(variant="mipnerf_wo_ipe", psnr=30.001)]
    bold = [row[2] for row in rows_of(build_tables(runs, reference_folder)[0], "PSNR")]
    assert bold == ["**30.05**", "**30.05**"]


def test_for_a_distance_the_lowest_is_bold(make_run, reference_folder):
    runs = [make_run(psnr=30.0), make_run(variant="mipnerf_wo_ipe", psnr=20.0)]
    for run in runs:
        path = run / "metrics.csv"
        path.write_text(path.read_text().replace("psnr", "lpips"))
    assert METRICS["lpips"].decimals == 4
    assert [row[2] for row in rows_of(build_tables(runs, reference_folder)[0], "LPIPS")] == ["30.0500", "**20.0500**"]


def test_published_average_stands_beside_ours(make_run, reference_folder):
    runs = [make_run("multiscale_blender", v, "lego", psnr=34.0) for v in ("mipnerf", "mipnerf_wo_ipe")]
    markdown, tidy = build_tables(runs, reference_folder)
    rows = rows_of(markdown, "PSNR", "multiscale_blender")
    assert [row[-1] for row in rows] == ["35.74", "—"]
    assert rows_of(markdown, "SSIM", "multiscale_blender")[0][-1] == "0.9840"
    average = tidy.query("metric == 'psnr' and level == 'mean' and variant == 'mipnerf'").iloc[0]
    assert (average["value"], average["jax"]) == (pytest.approx(35.55), 35.74)
    assert average["delta"] == pytest.approx(35.55 - 35.74)
    assert tidy.query("level != 'mean' or variant != 'mipnerf'")["delta"].isna().all()


def test_mean_row_per_variant_and_its_published_mean(make_run, reference_folder):
    runs = [
        make_run("multiscale_blender", variant, scene, psnr=base + i)
        for variant, base in (("mipnerf", 30.0), ("mipnerf_wo_ipe", 28.0))
        for i, scene in enumerate(SCENES)
    ]
    markdown, tidy = build_tables(runs, reference_folder)
    rows = rows_of(markdown, "PSNR", "multiscale_blender")
    assert rows[-2] == [
        "mean",
        "mipnerf",
        *(f"**{v}**" for v in ("33.55", "34.55", "35.55", "36.55", "35.05")),
        "34.51",
    ]
    assert rows[-1] == ["mean", "mipnerf_wo_ipe", "31.55", "32.55", "33.55", "34.55", "33.05", "31.34"]
    assert [row[0] for row in rows] == [name for name in [*SCENES, "mean"] for _ in range(2)]
    levels = tidy.query("scene == 'mean' and variant == 'mipnerf' and metric == 'psnr' and level != 'mean'")
    assert levels["jax"].tolist() == [32.629, 34.336, 35.471, 35.602]


def test_mean_of_fewer_than_all_eight_scenes_has_no_published_number(make_run, reference_folder):
    runs = [make_run("multiscale_blender", "mipnerf", scene) for scene in SCENES[:7]]
    rows = rows_of(build_tables(runs, reference_folder)[0], "PSNR", "multiscale_blender")
    assert rows[-1] == ["mean", "mipnerf", "30.05", "31.05", "32.05", "33.05", "31.55", "—"]


def test_mean_leaves_out_a_variant_that_lacks_a_scene(make_run, reference_folder):
    runs = [make_run(scene="wall"), make_run(scene="roof"), make_run(variant="nerf", scene="wall")]
    rows = rows_of(build_tables(runs, reference_folder)[0], "PSNR")
    assert rows[-2:] == [
        ["mean", "mipnerf", "30.05", "31.05", "32.05", "33.05", "31.55", "—"],
        ["mean", "nerf", "—", "—", "—", "—", "—", "—"],
    ]


def test_missing_level_is_a_dash_and_not_averaged(make_run, reference_folder):
    runs = [make_run("multiscale_blender", "mipnerf", "lego", levels=(0, 1, 3))]
    rows = rows_of(build_tables(runs, reference_folder)[0], "PSNR", "multiscale_blender")
    assert rows == [["lego", "mipnerf", "30.05", "31.05", "—", "33.05", "—", "—"]]


def test_level_that_only_another_run_has_is_missing(make_run, reference_folder):
    runs = [make_run(), make_run(variant="nerf", psnr=20.0, levels=(0, 1))]
    assert rows_of(build_tables(runs, reference_folder)[0], "PSNR")[1][2:] == ["20.05", "21.05", "—", "—", "—", "—"]


def test_level_without_all_views_is_a_dash(make_run, reference_folder):
    folder = make_run("multiscale_blender", "mipnerf", "lego")
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if ",lego,1,1,psnr," not in line]
    assert len(kept) == len(lines) - 1
    (folder / "metrics.csv").write_text("".join(kept))
    markdown, _ = build_tables([folder], reference_folder)
    assert rows_of(markdown, "PSNR", "multiscale_blender")[0][2:] == ["30.05", "—", "32.05", "33.05", "—", "—"]
    assert rows_of(markdown, "SSIM", "multiscale_blender")[0][-2:] == ["0.9155", "0.9840"]


def test_average_over_other_than_four_levels_is_announced(make_run, reference_folder):
    markdown, _ = build_tables([make_run(levels=(0, 1))], reference_folder)
    assert rows_of(markdown, "PSNR")[0][2:] == ["30.05", "31.05", "—", "—", "30.55", "—"]
    assert "The average here is over 2 levels: Full, 1/2." in markdown
    assert "The average here" not in build_tables([make_run(variant="nerf")], reference_folder)[0]


def test_single_scale_dataset_is_compared_with_its_own_numbers(make_run, reference_folder):
    runs = [make_run("blender", "mipnerf", scene, levels=(0,)) for scene in SCENES]
    rows = rows_of(build_tables(runs, reference_folder)[0], "PSNR", "blender")
    assert rows[4] == ["lego", "mipnerf", "30.05", "—", "—", "—", "30.05", "35.70"]
    assert rows[-1][-1] == "33.09"


def test_published_single_scale_numbers_are_not_put_beside_an_average_over_levels(make_run, reference_folder):
    markdown, _ = build_tables([make_run("blender", "mipnerf", "lego")], reference_folder)
    assert rows_of(markdown, "PSNR", "blender")[0][-2:] == ["31.55", "—"]


def test_order_is_that_of_the_runs(make_run, reference_folder):
    runs = [make_run(variant=v, scene=s) for v in ("nerf", "mipnerf") for s in ("wall", "arch")]
    markdown, _ = build_tables(runs, reference_folder)
    expected = [(s, v) for s in ("wall", "arch", "mean") for v in ("nerf", "mipnerf")]
    assert [tuple(row[:2]) for row in rows_of(markdown, "PSNR")] == expected
    assert [tuple(row[:2]) for row in rows_of(markdown, "Runs")] == expected[:4]


def test_each_dataset_has_its_heading_and_its_figures(make_run, reference_folder):
    runs = [make_run("multiscale_blender", scene="lego"), make_run("blender", scene="lego", levels=(0,))]
    links = ["plots/blender_levels.png", "plots/multiscale_blender_levels.png"]
    markdown, _ = build_tables(runs, reference_folder, links)
    first, second = markdown.split("## blender\n")
    assert first.startswith("## multiscale_blender\n")
    assert "![multiscale_blender_levels](plots/multiscale_blender_levels.png)" in first
    assert first.count("![") == second.count("![") == 1


def test_runs_are_described(make_run, reference_folder):
    (row,) = rows_of(build_tables([make_run()], reference_folder)[0], "Runs")
    facts = ["128×96", "100", "2", "1,000 × 512", "8×256, 2×128 samples", "612,740", "1:02:05", "cpu"]
    assert row == ["wall", "mipnerf", *facts]


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, None),
        ({"max_steps": 4_000_000, "batch_size": 1024}, None),
        ({"max_steps": 300_000}, "training budget"),
        ({"width": 400, "height": 400}, "resolution"),
        ({"test_views": 20}, "test views"),
        ({"max_steps": 300_000, "test_views": 20}, "training budget, test views"),
    ],
)
def test_departure_from_the_published_conditions_is_told(make_run, reference_folder, changes, differing):
    published = {"max_steps": 1_000_000, "batch_size": 4096, "width": 800, "height": 800, "test_views": 200}
    folder = make_run("multiscale_blender", "mipnerf", "lego", **(published | changes))
    markdown, _ = build_tables([folder], reference_folder)
    assert ("not directly comparable" in markdown) == (differing is not None)
    assert differing is None or f"differ in {differing}." in markdown


TWO_NETWORKS = {"single_mlp": False, "num_samples": 64, "num_fine_samples": 128}


@pytest.mark.parametrize(
    ("variant", "model", "network", "differs"),
    [
        ("mipnerf", {"single_mlp": True, "num_fine_samples": 0}, "8×256, 2×128 samples", False),
        ("mipnerf", {"net_width": 64}, "8×64, 2×128 samples", True),
        ("nerf", TWO_NETWORKS, "2 networks of 8×256, 64+128 samples", False),
        ("nerf", TWO_NETWORKS | {"single_mlp": True}, "8×256, 64+128 samples", True),
        ("mipnerf_wo_single_mlp", {"single_mlp": False}, "2 networks of 8×256, 2×128 samples", False),
        ("mipnerf_wo_single_mlp", {}, "8×256, 2×128 samples", True),
        (
            "mipnerf_wo_single_mlp",
            {"single_mlp": False, "proposal_depth": 2, "proposal_width": 32},
            "proposals of 2×32, 8×256, 2×128 samples",
            True,
        ),
        ("ss_nerf_area_center_misc", TWO_NETWORKS, "2 networks of 8×256, 64+128 samples", False),
        ("ss_mipnerf", {}, "8×256, 2×128 samples", False),
    ],
)
def test_network_is_compared_with_that_of_its_variant(make_run, reference_folder, variant, model, network, differs):
    published = {"max_steps": 1_000_000, "batch_size": 4096, "width": 800, "height": 800, "test_views": 200}
    folders = [make_run("multiscale_blender", variant, scene, model=model, **published) for scene in SCENES]
    markdown, _ = build_tables(folders, reference_folder)
    assert f" {network} |" in markdown
    assert ("the runs differ in network." in markdown) == differs


def test_all_published_networks_are_named(make_run, reference_folder):
    runs = [make_run("multiscale_blender", "mipnerf", "lego"), make_run("multiscale_blender", "nerf", "lego")]
    network = "the network 8×256, 2×128 samples or 2 networks of 8×256, 64+128 samples; the runs"
    assert network in build_tables(runs, reference_folder)[0]


def test_average_error_has_one_column_and_its_published_value(make_run, reference_folder):
    runs = [make_run("multiscale_blender", v, s, lpips=0.1) for v in ("mipnerf", "nerf") for s in SCENES]
    markdown, _ = build_tables(runs, reference_folder)
    assert rows_of(markdown, "Average error", "multiscale_blender")[-2:] == [
        ["mean", "mipnerf", "**0.0259**", "0.0114"],
        ["mean", "nerf", "**0.0259**", "0.0288"],
    ]
    assert "geometric mean" in markdown
    assert "Average error" not in build_tables([make_run()], reference_folder)[0]


def test_unavailable_lpips_is_dashes_and_the_reason(make_run, reference_folder):
    markdown, tidy = build_tables([make_run(), make_run("llff", levels=(0,))], reference_folder, lpips_reason="no net")
    assert rows_of(markdown, "LPIPS") == [["wall", "mipnerf", *["—"] * 6]]
    assert rows_of(markdown, "Average error") == [["wall", "mipnerf", "—", "—"]]
    assert markdown.count("LPIPS could not be measured: no net.") == 2
    assert tidy[tidy["metric"] == "lpips"]["value"].isna().all()
    measured, _ = build_tables([make_run(lpips=0.1)], reference_folder, lpips_reason="no net")
    assert "could not be measured" not in measured


def test_render_times_are_per_level_and_the_published_ones_of_a_tpu(make_run, reference_folder):
    runs = [make_run("multiscale_blender", "mipnerf", scene, seconds=2.0) for scene in SCENES]
    markdown, _ = build_tables(runs, reference_folder)
    rows = rows_of(markdown, "Seconds per megapixel", "multiscale_blender")
    assert rows[-1] == ["mean", "mipnerf", "2.00", "8.00", "32.00", "128.00", "42.50", "2.48"]
    assert "The published seconds are those of a TPU v2 with 32 cores." in markdown
    assert "published seconds" not in build_tables(runs[:1], reference_folder)[0]


def test_cost_stands_beside_the_published_one(make_run, reference_folder):
    hours = {"mipnerf": (3600, 5400), "nerf": (3600, None), "my_variant": (7200, 7200)}
    runs = [
        make_run("blender", variant, scene, levels=(0,), train_seconds=seconds)
        for variant, both in hours.items()
        for scene, seconds in zip(("lego", "ship"), both, strict=True)
    ]
    markdown, _ = build_tables(runs, reference_folder)
    assert rows_of(markdown, "Cost", "blender") == [
        ["mipnerf", "1.25", "2.89", "612,740", "612K"],
        ["nerf", "—", "3.05", "612,740", "1191K"],
        ["my_variant", "2.00", "—", "612,740", "—"],
    ]
    assert "on a TPU v2 with 32 cores" in markdown
    assert "### Cost" not in build_tables([make_run()], reference_folder)[0]


def test_what_an_imported_model_does_not_tell_is_a_dash(make_run, reference_folder):
    unknown = dict.fromkeys(["train_seconds", "train_views", "width", "height"])
    row = rows_of(build_tables([make_run(**unknown)], reference_folder)[0], "Runs")[0]
    assert row[2:5] == ["—", "—", "2"]
    assert row[-2:] == ["—", "cpu"]


def test_nothing_is_said_about_comparability_where_nothing_is_compared(make_run, reference_folder):
    assert "not directly comparable" not in build_tables([make_run()], reference_folder)[0]


def test_tidy_frame_is_unrounded_and_complete(make_run, reference_folder):
    _, tidy = build_tables([make_run(psnr=100 / 3)], reference_folder)
    assert list(tidy.columns) == ["dataset", "scene", "variant", "metric", "level", "value", "jax", "delta"]
    assert tidy["level"].tolist() == ["0", "1", "2", "3", "mean"] * 2
    assert tidy["value"].iloc[0] == pytest.approx(100 / 3 + 0.05, abs=1e-12)


def test_per_scene_reference_agrees_with_table_1(reference_folder):
    reference = load_reference(reference_folder)
    assert reference.scenes("multiscale_blender") == set(SCENES)
    for metric, published, tolerance in (("psnr", 34.51, 0.005), ("ssim", 0.9725, 0.0005)):
        scenes = [reference.jax_average("multiscale_blender", "mipnerf", s, metric, 4) for s in SCENES]
        assert sum(scenes) / 8 == pytest.approx(published, abs=tolerance)
        average = reference.jax_average("multiscale_blender", "mipnerf", MEAN, metric, 4)
        assert round(average, METRICS[metric].decimals) == published


@pytest.mark.parametrize(
    ("dataset", "variant", "scene", "metric", "num_levels"),
    [
        ("bricks", "mipnerf", "wall", "psnr", 4),
        ("multiscale_blender", "mipnerf_wo_ipe", "lego", "psnr", 4),
        ("multiscale_blender", "mipnerf", "lego", "psnr", 3),
        ("multiscale_blender", "mipnerf", "castle", "psnr", 4),
        ("multiscale_blender", "mipnerf", "lego", "lpips", 4),
        ("multiscale_blender", "mipnerf", "lego", "seconds_per_megapixel", 4),
        ("multiscale_blender", "my_variant", MEAN, "psnr", 4),
        ("blender", "mipnerf_wo_area_loss", MEAN, "psnr", 1),
        ("llff", "mipnerf", "fern", "psnr", 1),
    ],
)
def test_unpublished_number_is_none(reference_folder, dataset, variant, scene, metric, num_levels):
    assert load_reference(reference_folder).jax_average(dataset, variant, scene, metric, num_levels) is None


def test_damaged_reference_is_refused(reference_folder, tmp_path):
    with pytest.raises(DataError, match=r"per_scene\.csv: cannot be read"):
        load_reference(tmp_path)
    folder = tmp_path / "reference"
    shutil.copytree(reference_folder, folder)
    path = folder / "multiscale_blender_table1.csv"
    path.write_text(path.read_text().replace("psnr_full", "psnr_all"))
    with pytest.raises(DataError, match=r"table1\.csv: lacks the column psnr_full"):
        load_reference(folder)
    shutil.copytree(reference_folder, folder, dirs_exist_ok=True)
    (folder / "supersampling_table3.csv").unlink()
    with pytest.raises(DataError, match=r"table3\.csv: cannot be read"):
        load_reference(folder)


def test_mean_is_over_images_then_scenes_then_levels(make_run, reference_folder):
    # With unequal numbers of views the order matters: 30.05 of two views and 40.15 of four.
    runs = read_runs([make_run(scene="wall"), make_run(scene="roof", psnr=40.0, test_views=4)])
    tidy = summarise(runs, load_reference(reference_folder)).set_index(["scene", "metric", "level"])["value"]
    assert tidy["mean", "psnr", "0"] == pytest.approx((30.05 + 40.15) / 2)
    assert tidy["mean", "psnr", "mean"] == pytest.approx((30.05 + 40.15) / 2 + 1.5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "0:07"), (599.6, "10:00"), (3599.7, "1:00:00"), (93784, "26:03:04")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_no_run_is_refused(reference_folder):
    with pytest.raises(DataError, match="no run was given"):
        build_tables([], reference_folder)


def test_csv_of_the_tidy_frame_round_trips(make_run, reference_folder, tmp_path):
    _, tidy = build_tables([make_run(psnr=math.pi)], reference_folder)
    tidy.to_csv(tmp_path / "table.csv", index=False)
    assert pd.read_csv(tmp_path / "table.csv", float_precision="round_trip")["value"].tolist() == tidy["value"].tolist()


@pytest.mark.parametrize("verified", [True, False, None])
def test_data_that_are_not_the_official_files_are_named(make_run, reference_folder, verified):
    runs = [make_run(scene="wall"), make_run(scene="arch", data_verified=verified)]
    markdown, _ = build_tables(runs, reference_folder)
    assert ("**Data not the official files:** arch;" in markdown) == (verified is False)
