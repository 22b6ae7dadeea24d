"""Figures: they exist, are what they claim, show the numbers, and come out the same each time."""

import xml.etree.ElementTree as ElementTree

import imageio.v3 as iio
import numpy as np
import pytest

from mipnerf.config import DataConfig
from mipnerf.errors import ConfigError, DataError
from mipnerf.report.figures.depths import plot_depth
from mipnerf.report.figures.plots import plot_history, plot_levels, save_figure
from mipnerf.report.figures.pyramid import plot_pyramid
from mipnerf.report.figures.strips import choose_view, plot_strip, read_truth
from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference
from mipnerf.training.history import ValidationRow, write_validation

SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]


@pytest.fixture
def reference(reference_folder):
    return load_reference(reference_folder)


@pytest.fixture
def two_runs(make_run):
    return read_runs([make_run(), make_run(variant="mipnerf_wo_ipe", psnr=28.0)])


def is_drawn(axes, y):
    """Whether a line with exactly these values is in `axes`."""
    return any(len(line.get_ydata()) == len(y) and np.allclose(line.get_ydata(), y) for line in axes.lines)


def thick_lines(axes):
    return [line for line in axes.lines if line.get_linewidth() > 1 and np.isfinite(line.get_ydata()).any()]


def test_figures_are_valid_and_the_same_each_time(two_runs, reference, tmp_path):
    for kind, draw in (
        ("levels", lambda: plot_levels(two_runs, reference)),
        ("history", lambda: plot_history(two_runs)),
    ):
        paths = [[tmp_path / str(i) / f"{kind}.{ending}" for ending in ("svg", "png")] for i in range(2)]
        for svg, png in paths:
            save_figure(draw(), svg, png)
        for first, second in zip(*paths, strict=True):
            assert first.read_bytes() == second.read_bytes()
        assert ElementTree.parse(paths[0][0]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        image = iio.imread(paths[0][1])
        assert image.shape[1] == 1400
        assert image[..., :3].std() > 5


def test_levels_show_the_means(two_runs, reference):
    psnr, ssim = plot_levels(two_runs, reference).axes
    assert is_drawn(psnr, [30.05, 31.05, 32.05, 33.05])
    assert is_drawn(psnr, [28.05, 29.05, 30.05, 31.05])
    assert is_drawn(ssim, [0.9005, 0.9105, 0.9205, 0.9305])
    assert [tick.get_text() for tick in psnr.get_xticklabels()] == ["Full", "1/2", "1/4", "1/8"]


def test_seeds_of_a_variant_are_one_entry_and_one_mean(make_run, reference):
    seeds = {"mipnerf": 0, "mipnerf_seed1": 1}
    runs = read_runs([make_run(variant=variant, psnr=30.0 + seed, seed=seed) for variant, seed in seeds.items()])
    for figure in (plot_levels(runs, reference), plot_history(runs)):
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mip-NeRF"]
    psnr = plot_levels(runs, reference).axes[0]
    assert is_drawn(psnr, [30.55, 31.55, 32.55, 33.55])
    (band,) = psnr.collections
    assert np.allclose(np.ptp(band.get_paths()[0].vertices[:, 1]), 3 + 2**0.5)


def test_variants_can_be_told_apart_in_grey(two_runs, reference):
    first, second = thick_lines(plot_levels(two_runs, reference).axes[0])
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()


def test_published_means_are_dotted_if_all_eight_scenes_are_there(make_run, reference):
    folders = [make_run("multiscale_blender", "mipnerf", scene) for scene in SCENES]
    table_1 = [32.629, 34.336, 35.471, 35.602]
    assert is_drawn(plot_levels(read_runs(folders), reference).axes[0], table_1)
    assert not is_drawn(plot_levels(read_runs(folders[:7]), reference).axes[0], table_1)


def test_single_level_is_drawn_against_the_scenes(make_run, reference):
    folders = [make_run("blender", "mipnerf", s, psnr=p, levels=(0,)) for s, p in (("lego", 30.0), ("ship", 20.0))]
    axes = plot_levels(read_runs(folders), reference).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["lego", "ship", "mean"]
    assert is_drawn(axes, [30.05, 20.05, 25.05])


def test_metric_without_values_gets_no_panel(make_run, reference):
    folder = make_run()
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join(line for line in lines if "ssim" not in line))
    assert [axes.get_ylabel() for axes in plot_levels(read_runs([folder]), reference).axes] == ["PSNR (dB)"]


def test_smoothing_is_a_centred_running_mean(make_run):
    folder = make_run()
    lines = ["step,loss,psnr,lr,rays_per_s,seconds", *(f"{i},0.1,{20 + i % 3},1,1,{6 * i}" for i in range(1, 61))]
    (folder / "history.csv").write_text("\n".join(lines))
    by_step, by_time = plot_history(read_runs([folder])).axes
    (line,) = thick_lines(by_step)
    assert np.allclose(line.get_ydata()[1:-1], 21)  # 5 % of 60 points are three, one period
    assert np.allclose(thick_lines(by_time)[0].get_xdata(), np.arange(1, 61) / 10)
    assert is_drawn(by_step, [20 + i % 3 for i in range(1, 61)])


def test_history_of_several_scenes_shows_their_mean_at_common_steps(make_run):
    folders = [make_run(scene="wall"), make_run(scene="roof")]
    for folder, steps, psnr in zip(folders, ((1, 2, 3), (2, 3, 4)), (20, 30), strict=True):
        lines = ["step,loss,psnr,lr,rays_per_s,seconds", *(f"{i},0.1,{psnr},1,1,{i}" for i in steps)]
        (folder / "history.csv").write_text("\n".join(lines))
    (mean,) = thick_lines(plot_history(read_runs(folders)).axes[0])
    assert mean.get_xdata().tolist() == [2, 3]
    assert mean.get_ydata().tolist() == [25, 25]


def test_run_without_a_history_is_left_out(make_run, tmp_path):
    folders = [make_run(), make_run(variant="mipnerf_wo_ipe")]
    header = "step,loss,psnr,lr,rays_per_s,seconds\n"
    (folders[0] / "history.csv").write_text(header)
    figure = plot_history(read_runs(folders))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mip-NeRF w/o IPE"]
    assert len(thick_lines(figure.axes[0])) == 1
    (folders[1] / "history.csv").write_text(header)
    figure = plot_history(read_runs(folders))
    assert "no training was logged" in figure.texts[0].get_text()
    save_figure(figure, tmp_path / "history.svg", tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000


def test_lpips_has_a_panel_where_it_was_measured(make_run, reference):
    folders = [make_run("multiscale_blender", "mipnerf", scene, lpips=0.1) for scene in SCENES]
    panels = plot_levels(read_runs(folders), reference).axes
    assert [axes.get_ylabel() for axes in panels] == ["PSNR (dB)", "SSIM", "LPIPS"]
    assert is_drawn(panels[2], [0.1005, 0.0905, 0.0805, 0.0705])
    assert is_drawn(panels[2], [0.0469, 0.0260, 0.0168, 0.0120])


def test_two_datasets_in_one_picture_are_refused(make_run, reference):
    runs = read_runs([make_run(), make_run("blender", scene="lego")])
    with pytest.raises(DataError, match="must share their dataset; got bricks, blender"):
        plot_levels(runs, reference)


@pytest.mark.slow
def test_strip_is_valid_and_the_same_each_time(two_runs, make_images, tmp_path):
    data = make_images([run.folder for run in two_runs])
    runs = read_runs([run.folder for run in two_runs])
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path in paths:
        save_figure(plot_strip(data, runs), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert iio.imread(paths[0])[0, 0].tolist() == [255, 255, 255, 255]


def test_strip_shows_truth_renderings_errors_and_scores(two_runs, make_images):
    data = make_images([run.folder for run in two_runs])
    runs = read_runs([run.folder for run in two_runs])
    figure = plot_strip(data, runs, view=1)
    cells = np.array(figure.axes[:20]).reshape(4, 5)
    truth = read_truth(data, 2, 1)
    rendering = iio.imread(runs[1].folder / "level_2/renderings/001.png") / 255
    shown = [cell.images[0].get_array() for cell in cells[2]]
    assert np.allclose(shown[0], np.kron(truth, np.ones((4, 4, 1))))
    assert np.allclose(shown[3], np.kron(rendering, np.ones((4, 4, 1))))
    assert np.allclose(shown[4], np.kron(np.abs(rendering - truth).mean(axis=-1), np.ones((4, 4))))
    assert len({cell.images[0].get_clim() for cell in cells[:, [2, 4]].ravel()}) == 1
    psnr = -10 * np.log10(np.square(rendering - truth).mean())
    assert cells[2, 3].get_xlabel() == f"PSNR {psnr:.2f}, SSIM 0.9210"
    assert [cell.get_ylabel() for cell in cells[:, 0]] == ["Full", "1/2", "1/4", "1/8"]


def test_many_variants_stand_in_blocks_that_fit_a_page(make_run, make_images):
    folders = [make_run(variant=name) for name in ("nerf", "nerf_area", "mipnerf", "mipnerf_wo_ipe", "my_own")]
    data = make_images(folders)
    figure = plot_strip(data, read_runs(folders), view=1)
    cells = np.array(figure.axes[: 8 * 7]).reshape(8, 7)
    width, height = figure.get_size_inches()
    assert width < 14
    assert width < height * 2
    assert [cell.get_title().strip() for cell in cells[4]] == [
        "truth",
        "mip-NeRF w/o IPE",
        "error",
        "my_own",
        "error",
        "",
        "",
    ]
    assert [cell.get_ylabel() for cell in cells[:, 0]] == ["Full", "1/2", "1/4", "1/8"] * 2
    assert [bool(cell.images) for cell in cells[7]] == [True] * 5 + [False] * 2
    assert len({cell.images[0].get_clim() for cell in cells[:, 2]}) == 1


def test_truth_is_composited_on_white_or_without_alpha(make_run, make_images):
    data = make_images([make_run()])
    image = iio.imread(data / "images_test/001_d1.png") / 255
    assert np.allclose(read_truth(data, 1, 1), image[..., :3] * image[..., 3:] + (1 - image[..., 3:]))
    assert np.allclose(read_truth(data, 1, 1, data=DataConfig(white_bkgd=False)), image[..., :3])


def test_default_view_is_the_middle_one_that_all_runs_have(make_run):
    runs = read_runs([make_run(test_views=9), make_run(variant="nerf", test_views=5)])
    assert choose_view(runs, None) == 2
    assert choose_view(runs, 4) == 4
    with pytest.raises(DataError, match=r"test view 7; all of them have \[0, 1, 2, 3, 4\]"):
        choose_view(runs, 7)


def test_pictures_show_the_first_of_several_seeds(make_run, make_images):
    folders = [make_run(), make_run(variant="mipnerf_seed1", seed=1), make_run(variant="mipnerf_wo_ipe", psnr=28.5)]
    data = make_images(folders)
    runs = read_runs(folders)
    of_first = [axes.get_title() for axes in plot_strip(data, [runs[0], runs[2]]).axes]
    assert [axes.get_title() for axes in plot_strip(data, runs).axes] == of_first
    assert len(plot_depth(data, runs).axes) == len(plot_depth(data, [runs[0], runs[2]]).axes)
    assert len(plot_pyramid(data, runs).axes) == len(plot_pyramid(data, [runs[0], runs[2]]).axes)


def test_strip_refuses_images_of_another_view(make_run, make_images):
    folder = make_run()
    data = make_images([folder])
    renderings = folder / "level_0/renderings"
    (renderings / "001.png").write_bytes((renderings / "000.png").read_bytes())
    with pytest.raises(DataError, match=r"view 1 at level 0 has a PSNR of .* against this data folder"):
        plot_strip(data, read_runs([folder]), view=1)


def test_strip_refuses_images_of_another_size_or_none(make_run, make_images):
    folder = make_run()
    data = make_images([folder])
    path = folder / "level_1/renderings/001.png"
    path.write_bytes((folder / "level_2/renderings/001.png").read_bytes())
    with pytest.raises(DataError, match=r"001\.png: has shape \(6, 8, 3\), but the test image \(12, 16, 3\)"):
        plot_strip(data, read_runs([folder]), view=1)
    path.unlink()
    with pytest.raises(DataError, match=r"001\.png: cannot be read"):
        plot_strip(data, read_runs([folder]), view=1)
    with pytest.raises(ConfigError, match="view 2 does not exist; the split has views 0 to 1"):
        read_truth(data, 0, 2)


def test_validation_stands_beside_the_training_curve(make_run):
    folder = make_run()
    lines = ["step,loss,psnr,lr,rays_per_s,seconds", *(f"{i},0.1,{20 + i},1,1,{6 * i}" for i in range(1, 5))]
    (folder / "history.csv").write_text("\n".join(lines))
    views = [ValidationRow(step, 3, view, 18.0 + step + view, None, 6.0 * step) for step in (2, 4) for view in (0, 1)]
    write_validation(folder / "validation.csv", views)
    figure = plot_history(read_runs([folder]))
    assert is_drawn(figure.axes[0], [20.5, 22.5])  # means over the views
    (dots,) = [line for line in figure.axes[1].get_lines() if line.get_marker() == "o"]
    assert np.allclose(dots.get_xdata(), [0.2, 0.4])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mip-NeRF", "validation at 1/8"]
