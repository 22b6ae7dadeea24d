"""What figures there are, and what each of them shows."""

from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest

from mipnerf.config.sections import CropConfig
from mipnerf.errors import DataError
from mipnerf.report.figures.comparisons import costs_and_quality, plot_cost, plot_deltas, spread_apart, training_samples
from mipnerf.report.figures.depths import depth_limits, plot_depth
from mipnerf.report.figures.kinds import FIGURES, IN_TABLE, PUBLISHED_LEVELS, PUBLISHED_SCENES, dataset_kinds
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.pyramid import choose_crop, choose_differing_view, plot_pyramid
from mipnerf.report.figures.strips import read_truth
from mipnerf.report.frame import read_runs
from mipnerf.report.names import title_of
from mipnerf.report.reference import LEVEL_COLUMNS, load_reference

SCENES = PUBLISHED_SCENES


@pytest.fixture
def reference(reference_folder):
    return load_reference(reference_folder)


@pytest.fixture
def two_runs(make_run):
    return [make_run(), make_run(variant="mipnerf_wo_ipe", psnr=28.0)]


def write_maps(folder, depth, acc, view=1, size=(24, 32)):
    """Depth and opacity as evaluation writes them, the same in every pixel."""
    renderings = folder / "level_0" / "renderings"
    iio.imwrite(renderings / f"{view:03d}_depth.png", np.full(size, depth, np.uint16))
    iio.imwrite(renderings / f"{view:03d}_acc.png", np.full(size, acc, np.uint8))


def test_deltas_are_drawn_where_something_was_published(reference):
    for dataset, levels in PUBLISHED_LEVELS.items():
        assert reference.scenes(dataset) == set(SCENES)
        assert len(LEVEL_COLUMNS[dataset]) == levels
    everything = [("nerf", scene) for scene in SCENES]
    assert "deltas" in dataset_kinds("multiscale_blender", 4, [("mipnerf", "lego")])
    assert "deltas" in dataset_kinds("blender", 1, everything)
    for dataset, levels, runs in (
        ("bricks", 4, [("mipnerf", "bricks")]),
        ("multiscale_blender", 3, [("mipnerf", "lego")]),
        ("multiscale_blender", 4, everything[:7]),
        ("blender", 1, [("mipnerf", "desk"), ("nerf", "lego")]),
    ):
        assert dataset_kinds(dataset, levels, runs) == ["levels", "cost", "history"]


def test_every_figure_says_what_it_shows():
    assert set(IN_TABLE) <= set(FIGURES)
    assert all(kind.title and kind.caption.endswith(".") and "png" in kind.endings for kind in FIGURES.values())
    names = [title_of(name) for name in ("mipnerf_wo_ipe", "nerf_seed12", "my_own", "my_own_seed1")]
    assert names == ["mip-NeRF w/o IPE", "NeRF, seed 12", "my_own", "my_own_seed1"]


def test_deltas_are_ours_minus_the_published(make_run, reference):
    folders = [make_run("multiscale_blender", "mipnerf", scene) for scene in SCENES]
    folders += [make_run("multiscale_blender", "nerf", scene, psnr=25.0) for scene in SCENES]
    psnr, ssim = plot_deltas(read_runs(folders), reference).axes
    drawn = {line.get_marker(): line for line in psnr.lines if len(line.get_xdata()) > 0}
    assert len(drawn["o"].get_xdata()) == len(SCENES) + 1
    assert drawn["o"].get_xdata()[SCENES.index("lego")] == pytest.approx(31.55 - 35.74)
    assert drawn["s"].get_xdata() == pytest.approx([26.55 - (31.196 + 30.647 + 26.252 + 22.533) / 4])
    assert [tick.get_text() for tick in psnr.get_yticklabels()] == [*SCENES, "mean"]
    assert ssim.get_xlabel() == "Δ SSIM, higher is better"
    nothing = plot_deltas(read_runs([make_run("blender", "nerf", "lego", levels=(0,))]), reference)
    assert "nothing that was published is complete" in nothing.texts[0].get_text()


def test_cost_is_recorded_time_and_samples_of_all_rays(make_run, reference):
    points = {"num_samples": 64, "num_levels": 2, "num_fine_samples": 128}
    folders = [make_run("multiscale_blender", scene="lego", train_seconds=7200.0)]
    folders += [make_run("multiscale_blender", "nerf", "lego", model=points, train_seconds=None)]
    runs = read_runs(folders)
    assert [training_samples(run) for run in runs] == [1000 * 512 * (128 + 128), 1000 * 512 * (64 + 192)]
    imported = replace(runs[0], config=runs[0].config | {"record": {"imported_from": "x", "imported_step": None}})
    assert np.isnan(training_samples(imported))
    rows = costs_and_quality(runs, reference)
    assert list(zip(rows["method"], rows["published"], strict=True)) == [
        ("mipnerf", False),
        ("mipnerf", True),
        ("nerf", False),
    ]
    assert rows["psnr"].tolist() == pytest.approx([31.55, 35.74, 31.55])
    assert rows["hours"].tolist() == pytest.approx([2.0, 2.84, np.nan], nan_ok=True)
    by_time, by_samples = plot_cost(runs, reference).axes
    assert by_time.get_xlabel() == "training time (hours)"
    shown = [[line.get_xdata()[0] for line in axes.lines] for axes in (by_time, by_samples)]
    assert list(map(len, shown)) == [2, 3]
    assert [text.get_text() for text in by_samples.texts] == ["mip-NeRF", "NeRF", "mip-NeRF, published"]


def test_cost_of_quick_runs_and_of_several_seeds(make_run, reference, tmp_path):
    seeds = {"mipnerf": 0, "mipnerf_seed1": 1}
    runs = read_runs(
        [make_run(variant=name, psnr=30.0 + seed, seed=seed, train_seconds=60.0) for name, seed in seeds.items()]
    )
    (row,) = costs_and_quality(runs, reference).itertuples()
    assert (row.psnr, row.spread) == pytest.approx((32.05, 0.5**0.5))
    figure = plot_cost(runs, reference)
    assert figure.axes[0].get_xlabel() == "training time (minutes)"
    low, high = figure.axes[0].get_xlim()
    assert low < 1 < high
    assert high / low >= 7.9
    save_figure(figure, tmp_path / "1.svg", tmp_path / "1.png")
    save_figure(plot_cost(runs, reference), tmp_path / "2.svg", tmp_path / "2.png")
    for ending in ("svg", "png"):
        assert (tmp_path / f"1.{ending}").read_bytes() == (tmp_path / f"2.{ending}").read_bytes()


def test_cost_has_no_point_for_a_mean_over_fewer_scenes(make_run, reference):
    folders = [make_run(scene=scene) for scene in ("wall", "door")] + [make_run(variant="nerf", psnr=40.0)]
    assert costs_and_quality(read_runs(folders), reference)["method"].tolist() == ["mipnerf"]
    figure = plot_cost(read_runs(folders[2:]), reference)
    assert [text.get_text() for text in figure.axes[1].texts] == ["NeRF"]


def test_labels_keep_their_order_and_distance():
    generator = np.random.default_rng(0)
    for count in (1, 2, 9, 40):
        places = np.sort(generator.uniform(0, 1, count) ** 3)
        moved = spread_apart(places, 0.06, 0.02, 0.98)
        assert moved.min() >= 0.02 - 1e-9
        assert moved.max() <= 0.98 + 1e-9
        assert (np.diff(moved) >= min(0.06, 0.96 / max(count - 1, 1)) - 1e-9).all()
    assert spread_apart(np.array([0.2, 0.5]), 0.06, 0.02, 0.98) == pytest.approx([0.2, 0.5])
    assert spread_apart(np.array([0.5, 0.5]), 0.1, 0, 1) == pytest.approx([0.45, 0.55])


@pytest.mark.parametrize("num_runs", [1, 2])
def test_the_crop_is_where_renderings_differ(num_runs):
    truths = [np.full((64 >> level, 96 >> level, 3), 0.5) for level in range(3)]
    renderings = [[truth.copy() for _ in range(num_runs)] for truth in truths]
    for level in range(3):
        renderings[level][-1][40 >> level : 52 >> level, 60 >> level : 72 >> level] += 0.3
    x, y, size = choose_crop(truths, renderings)
    assert size == 32
    assert x % 4 == y % 4 == 0
    assert x <= 60
    assert y <= 40
    assert x + size >= 72
    assert y + size >= 52
    assert y + size <= 64


def test_the_view_is_where_scores_differ(two_runs, make_run):
    frame = (two_runs[1] / "metrics.csv").read_text()
    runs = read_runs(two_runs)
    assert choose_differing_view(runs) == 0
    lines = [line.replace(",1,psnr,28.1", ",1,psnr,20.1") for line in frame.splitlines()]
    (two_runs[1] / "metrics.csv").write_text("\n".join(lines) + "\n")
    assert choose_differing_view(read_runs(two_runs)) == 1
    assert choose_differing_view(read_runs([make_run(test_views=5)])) == 2


def test_pyramid_shows_the_same_place_at_every_level_and_marks_the_best(two_runs, make_images):
    data = make_images(two_runs, size=(64, 64))
    runs = read_runs(two_runs)
    figure = plot_pyramid(data, runs, CropConfig(view=1, x=17, y=8, size=33))
    whole, *cells = figure.axes
    cells = np.array(cells).reshape(4, 3)
    assert whole.patches[0].get_bbox().bounds == (15.5, 7.5, 32, 32)
    for level in range(4):
        expected = read_truth(data, level, 1)[8 >> level : 40 >> level, 16 >> level : 48 >> level]
        shown = cells[level, 0].images[0].get_array()
        assert np.allclose(shown[:: len(shown) // len(expected), :: len(shown) // len(expected)], expected)
        first, second = (cells[level, i].xaxis.label for i in (1, 2))
        assert (first.get_text(), first.get_fontweight()) == (f"{0.901 + 0.01 * level:.4f}", "bold")
        assert (second.get_text(), second.get_fontweight()) == (first.get_text(), "bold")  # as good, as far as is shown
    with pytest.raises(DataError, match=r"square of 32 pixels at x 48, y 0 leaves the image of 64 x 64"):
        plot_pyramid(data, runs, CropConfig(view=1, x=48, y=0, size=32))


def test_only_the_best_is_bold(make_run, make_images):
    folders = [make_run(ssim=0.8), make_run(variant="mipnerf_wo_ipe")]
    data = make_images(folders, size=(64, 64))
    row = plot_pyramid(data, read_runs(folders)).axes[2:4]
    assert [axes.xaxis.label.get_fontweight() for axes in row] == ["normal", "bold"]


def test_depth_is_hidden_where_nothing_is_opaque_and_scales_are_shared(two_runs, make_images):
    data = make_images(two_runs)
    write_maps(two_runs[0], 32768, 255)
    write_maps(two_runs[1], 65535, 127)
    figure = plot_depth(data, read_runs(two_runs), view=1)
    cells = np.array(figure.axes[:8]).reshape(2, 4)
    depths = [np.ma.filled(cell.images[0].get_array().astype(float), np.nan) for cell in cells[:, 1]]
    assert np.allclose(depths[0], 4.0, atol=1e-4)  # halfway between 2 and 6
    assert np.isnan(depths[1]).all()
    assert np.allclose(cells[1, 2].images[0].get_array(), 127 / 255)
    for column in cells.T[1:]:
        assert column[0].images[0].get_clim() == column[1].images[0].get_clim()
    assert [cell.get_ylabel() for cell in cells[:, 0]] == ["mip-NeRF", "mip-NeRF\nw/o IPE"]
    assert depth_limits([np.full((2, 2), np.nan)]) == (0, 1)


def test_depth_that_was_never_written_stays_empty_and_of_another_size_is_refused(two_runs, make_images, caplog):
    data = make_images(two_runs)
    write_maps(two_runs[1], 32768, 255)
    figure = plot_depth(data, read_runs(two_runs), view=1)
    cells = np.array(figure.axes[:8]).reshape(2, 4)
    for row, is_written in zip(cells, (False, True), strict=True):
        for cell in row[1:3]:
            shown = np.ma.filled(cell.images[0].get_array().astype(float), np.nan)
            assert np.isfinite(shown).all() == is_written
        assert np.isfinite(row[3].images[0].get_array()).all()
    assert "snakemake --forcerun evaluate -- figures" in figure.get_suptitle()
    assert "bricks/wall: no depth of mipnerf: evaluated by an older version, have it again" in caplog.text
    write_maps(two_runs[0], 1, 1, size=(3, 4))
    with pytest.raises(DataError, match=r"001_depth\.png: has shape \(3, 4\), but the rendering \(24, 32\)"):
        plot_depth(data, read_runs(two_runs[:1]), view=1)
    path = two_runs[0] / "level_0/renderings/001_depth.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"001_depth\.png: not a whole, undamaged PNG"):
        plot_depth(data, read_runs(two_runs[:1]), view=1)
