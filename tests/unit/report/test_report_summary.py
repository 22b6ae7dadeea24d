"""The averages of the reference, and the published numbers by dataset, variant and table."""

import numpy as np
import pandas as pd
import pytest
import torch

from mipnerf.evaluation.metrics import compute_avg_error
from mipnerf.report.frame import COLUMNS, Run, read_runs
from mipnerf.report.reference import MEAN, METHODS, load_reference
from mipnerf.report.summary import average_error, summarise

SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]
METRICS = ("psnr", "ssim", "lpips")


@pytest.fixture(scope="module")
def reference(reference_folder):
    return load_reference(reference_folder)


@pytest.fixture
def run_of(tmp_path):
    """A function: (scene, values [3, views * levels] as in the golden file, levels) -> the run with these metrics."""

    def make(scene, values, levels):
        rows = [
            ("toy", "mipnerf", scene, column % levels, column // levels, metric, values[i, column])
            for i, metric in enumerate(METRICS)
            for column in range(values.shape[1])
        ]
        return Run(tmp_path, "toy", "mipnerf", scene, {}, pd.DataFrame(rows, columns=COLUMNS))

    return make


@pytest.mark.golden
@pytest.mark.parametrize(("table", "levels"), [("b4", 4), ("b1", 1)])
def test_summary_is_that_of_the_reference(golden, compare, run_of, reference, table, levels):
    arrays = {key.removeprefix(f"{table}."): v for key, v in golden("eval_summary").items() if key.startswith(table)}
    runs = [run_of(scene, arrays.pop(scene), levels) for scene in ("alpha", "beta", "gamma")]
    summary = summarise(runs, reference).query("scene == @MEAN").set_index(["metric", "level"])["value"]
    psnr, ssim, lpips, average = (summary[metric, MEAN] for metric in (*METRICS, "avg_error"))
    actual = {
        "avg_results": np.array([summary[metric, str(level)] for metric in METRICS for level in range(levels)]),
        "psnr": psnr,
        "ssim": ssim,
        "lpips": lpips,
        "mse": 10 ** (-psnr / 10),
        "dssim": np.sqrt(1 - ssim),
        "avg_avg": average,
    }
    assert actual.keys() == arrays.keys()
    for name, expected in arrays.items():
        compare(f"eval_summary/{table}.{name}", actual[name], expected, rtol=1e-12)


def test_average_error_is_that_of_the_library():
    generator = np.random.default_rng(0)
    values = generator.uniform([[15], [0.5], [0.01]], [[40], [0.99], [0.6]], (3, 100))
    expected = compute_avg_error(*map(torch.from_numpy, values)).numpy()
    assert np.allclose(average_error(*values), expected, rtol=1e-12)


@pytest.mark.parametrize("variant", [name for name in METHODS["multiscale_blender"] if not name.startswith("ss_")])
def test_published_average_errors_follow_from_the_published_levels(reference, variant):
    levels = [reference.jax_levels("multiscale_blender", variant, metric) for metric in METRICS]
    means = [sum(values) / 4 for values in levels]
    published = reference.jax_average("multiscale_blender", variant, MEAN, "avg_error", 4)
    assert round(float(average_error(*means)), 4) == published
    assert round(compute_avg_error(*map(torch.tensor, means)).item(), 4) == published


@pytest.mark.parametrize("variant", METHODS["blender"])
def test_published_average_errors_of_a_single_scale(reference, variant):
    means = [reference.jax_average("blender", variant, MEAN, metric, 1) for metric in METRICS]
    published = reference.jax_average("blender", variant, MEAN, "avg_error", 1)
    # SSIM and LPIPS have three decimals there, of about 0.04.
    assert average_error(*means) == pytest.approx(published, rel=0.01)


def test_average_error_is_of_means_and_missing_where_one_is(make_run, reference):
    runs = read_runs([make_run(scene=s, psnr=p, lpips=0.2) for s, p in (("wall", 30.0), ("roof", 20.0))])
    runs += read_runs([make_run(variant="nerf", scene=s) for s in ("wall", "roof")])
    tidy = summarise(runs, reference)
    errors = tidy[tidy["metric"] == "avg_error"].set_index(["scene", "variant"])
    assert (errors["level"] == MEAN).all()
    mse, dssim, lpips = 10 ** (-(25.05 + 1.5) / 10), (1 - 0.9155) ** 0.5, 0.2 - 0.015 + 0.0005
    assert errors.loc[(MEAN, "mipnerf"), "value"] == pytest.approx((mse * dssim * lpips) ** (1 / 3), rel=1e-12)
    assert errors.xs("nerf", level="variant")["value"].isna().all()
    assert "avg_error" not in set(summarise(runs[2:], reference)["metric"])


def test_every_published_level_stands_beside_ours(make_run, reference):
    runs = read_runs([make_run("multiscale_blender", "mipnerf_wo_ipe", s, lpips=0.2) for s in SCENES])
    tidy = summarise(runs, reference).query("scene == @MEAN").set_index(["metric", "level"])["jax"]
    assert tidy["lpips"].tolist()[:4] == [0.0742, 0.0393, 0.0226, 0.0378]
    assert tidy["lpips", MEAN] == pytest.approx(0.043475)
    assert tidy["avg_error", MEAN] == 0.0186


def test_published_seconds_are_of_table_3(make_run, reference):
    runs = read_runs([make_run("multiscale_blender", "mipnerf", scene, seconds=2.0) for scene in SCENES])
    seconds = summarise(runs, reference).query("metric == 'seconds_per_megapixel' and scene == @MEAN")
    assert seconds["value"].tolist() == [2, 8, 32, 128, 42.5]  # as in the paper, 21.25 times the first
    assert seconds["jax"].tolist()[-1] == 2.48
    assert seconds["jax"].isna().tolist() == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("variant", "psnr", "seconds"),
    [
        ("mipnerf", 34.5095, 2.48),
        ("nerf_area_center_misc", 31.22525, 2.61),
        ("ss_mipnerf", 35.0325, 52.75),
        ("ss_nerf_area_center_misc", 34.56, 55.52),
    ],
)
def test_table_1_goes_before_table_3(reference, variant, psnr, seconds):
    average = [reference.jax_average("multiscale_blender", variant, MEAN, metric, 4) for metric in METRICS]
    assert average[0] == pytest.approx(psnr)
    assert (average[1] is None) == (average[2] is None) == variant.startswith("ss_")
    assert reference.jax_average("multiscale_blender", variant, MEAN, "seconds_per_megapixel", 4) == seconds


@pytest.mark.parametrize(
    ("dataset", "variant", "psnr", "hours", "parameters"),
    [
        ("blender", "mipnerf", 33.09, 2.89, "612K"),
        ("blender", "nerf", 31.74, 3.05, "1191K"),
        ("blender", "nerf_area_center", 32.30, 2.99, "1191K"),
        ("blender", "nerf_area_center_misc", 32.28, 3.06, "1191K"),
        ("blender", "nerf_area", None, None, None),
        ("blender", "ss_mipnerf", None, None, None),
        ("multiscale_blender", "nerf_area_center", 31.21825, 3.02, "1191K"),
        ("multiscale_blender", "ss_mipnerf", 35.0325, None, None),
        ("llff", "mipnerf", None, None, None),
    ],
)
def test_variants_have_the_paper_s_names_by_dataset(reference, dataset, variant, psnr, hours, parameters):
    levels = 4 if dataset == "multiscale_blender" else 1
    assert reference.jax_average(dataset, variant, MEAN, "psnr", levels) == pytest.approx(psnr)
    assert reference.train_hours(dataset, variant) == hours
    assert reference.num_parameters(dataset, variant) == parameters
    assert all(name in reference.tables[key].index for key, names in METHODS.items() for name in names.values())


@pytest.mark.parametrize(("dataset", "levels"), [("llff", (0,)), ("multiscale_llff", (0, 1, 2, 3))])
def test_what_was_not_published_has_our_numbers_only(make_run, reference, dataset, levels):
    runs = read_runs([make_run(dataset, "mipnerf", s, lpips=0.2, seconds=1.0, levels=levels) for s in ("fern", "trex")])
    tidy = summarise(runs, reference)
    assert tidy["value"].notna().all()
    assert tidy["jax"].isna().all()
