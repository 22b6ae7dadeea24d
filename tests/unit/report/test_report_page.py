"""The report as text; what a browser makes of it is in tests/browser."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from report_files import add_orbit
from test_report_scripts import ROOT, call

from mipnerf.errors import DataError
from mipnerf.report.frame import read_metrics, read_runs
from mipnerf.report.page.build import build_page
from mipnerf.report.page.data import contrast_of, run_data, thinned
from mipnerf.report.page.films import choose_frames
from mipnerf.report.page.images import choose_images, encode_png
from mipnerf.report.page.orbits import choose_orbits, choose_videos
from mipnerf.report.page.runs import details_of, differences_table, read_jobs, times_table
from mipnerf.report.page.sections import choose_figures, means_table, summary_of
from mipnerf.report.reference import load_reference
from mipnerf.report.summary import summarise
from mipnerf.training.history import ValidationRow, picture_name, write_validation

ATTACK = "</script><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\""
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


class Tags(HTMLParser):
    """Counts the elements of a page, and remembers what its attributes point to."""

    def __init__(self, text: str):
        super().__init__()
        self.names, self.sources = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action") and value]


def page_of(folders, data, reference_folder, **options):
    scenes = {"/".join([run.dataset, run.scene]): data for run in read_runs(folders)}
    return build_page(folders, reference_folder, scenes, **options)


def data_in(text: str, name: str = "page-data") -> dict:
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)[1])


def file_in(text: str, name: str) -> bytes:
    return base64.b64decode(re.search(rf'<script type="image/png" id="{name}">(.*?)</script>', text)[1])


def add_benchmark(folder: Path, name: str, row: str) -> None:
    (folder / "benchmarks").mkdir(exist_ok=True)
    (folder / "benchmarks" / f"{name}.tsv").write_text(HEADER + row + "\n")


def test_the_page_needs_nothing_but_itself_and_is_the_same_every_time(make_run, make_images, reference_folder):
    folders = [make_run(), make_run(variant="mipnerf_wo_ipe")]
    data = make_images(folders)
    text = page_of(folders, data, reference_folder)
    assert text == page_of(folders, data, reference_folder)
    assert {source[:5] for source in Tags(text).sources if source[0] != "#"} <= {"data:"}
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src &#39;none&#39;" in text
    for part in ("612,740", "package_version", "max_steps: 1000", "No published numbers"):
        assert part in text


def test_names_and_texts_from_files_cannot_become_markup(make_run, make_images, reference_folder, tmp_path):
    folder = make_run()
    data = make_images([folder])
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["record"]["device"] = config["model"]["net_activation"] = config["record"][ATTACK] = ATTACK
    metrics = (folder / "metrics.csv").read_text()
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"variant": ATTACK}))
    (folder / "metrics.csv").write_text(metrics.replace(",mipnerf,", ',"' + ATTACK.replace('"', '""') + '",'))
    figure = tmp_path / "bricks_<b>&.png"
    Image.new("RGB", (2, 2)).save(figure)
    text = page_of([folder], data, reference_folder, figures=[figure], lpips_reason=ATTACK)
    tags = Tags(text)
    assert text.count("<script>") == 1
    assert "x" not in tags.sources
    assert ATTACK not in text
    assert list(data_in(text)["sets"][0]["pictures"]) == ["truth", ATTACK]


def test_images_are_the_files_as_they_are(make_run, make_images, reference_folder):
    folders = [make_run(), make_run(variant="mipnerf_wo_ipe")]
    text = page_of(folders, make_images(folders), reference_folder)
    sets = data_in(text)["sets"]
    assert [(one["level"], one["view"]) for one in sets] == [(level, view) for view in (0, 1) for level in range(4)]
    full = sets[0]
    assert list(full["pictures"]) == ["truth", "mipnerf", "mipnerf_wo_ipe"]
    assert (full["width"], full["height"]) == (32, 24)
    rendering = folders[0] / "level_0" / "renderings" / "000.png"
    assert file_in(text, full["pictures"]["mipnerf"]) == rendering.read_bytes()


def test_the_numbers_of_views_are_those_of_the_file(make_run, make_images, reference_folder):
    folder = make_run(lpips=0.2, seconds=3.0)
    data = make_images([folder])
    rows = read_metrics([folder / "metrics.csv"])
    run = data_in(page_of([folder], data, reference_folder), "run-0")
    for metric, level, view, value in rows[["metric", "level", "view", "value"]].itertuples(index=False):
        if metric != "seconds_per_megapixel":
            assert run[metric][run["levels"].index(level)][run["views"].index(view)] == value


def test_depth_and_opacity_are_on_one_scale(make_run, make_images, reference_folder):
    folders = [make_run(), make_run(variant="mipnerf_wo_ipe")]
    data = make_images(folders)
    shares = np.linspace(0, 1, 24 * 32).reshape(24, 32)
    for folder, factor in zip(folders, (0.5, 1.0), strict=True):
        path = folder / "level_0" / "renderings" / "000_depth.png"
        Image.fromarray((65535 * shares * factor).astype(np.uint16)).save(path)
        Image.fromarray(np.where(shares > 0.1, 255, 10).astype(np.uint8)).save(path.with_name("000_acc.png"))
    text = page_of(folders, data, reference_folder)
    first, second = data_in(text)["maps"]
    assert (first["level"], first["view"], first["variant"]) == (0, 0, "mipnerf")
    assert (first["low"], first["high"]) == (second["low"], second["high"])
    assert 2.2 < first["low"] < 2.3  # from near 2 to far 6
    assert 5.8 < first["high"] < 6
    depth = np.array(Image.open(io.BytesIO(file_in(text, second["depth"]))))
    assert (depth[shares <= 0.1] == 0).all()
    meters = second["low"] + (depth.astype(float) - 1) / 254 * (second["high"] - second["low"])
    is_inner = (depth > 1) & (depth < 255)
    assert np.abs(meters - (2 + 4 * shares))[is_inner].max() < 0.01


def test_what_a_mask_hides_can_be_seen_through():
    image = np.full((2, 2, 3), 0.5)
    assert np.array(Image.open(io.BytesIO(encode_png(image)))).shape == (2, 2, 3)
    image[0, 1] = np.nan
    assert np.array(Image.open(io.BytesIO(encode_png(image))))[..., 3].tolist() == [[255, 0], [255, 255]]


def test_the_first_screen_shows_the_best_and_its_ablation(make_run, reference_folder):
    runs = read_runs([make_run(psnr=p, variant=v) for v, p in (("nerf", 31), ("mipnerf_wo_ipe", 29), ("mipnerf", 32))])
    tidy = summarise(runs, load_reference(reference_folder))
    assert contrast_of(tidy, ["nerf"]) == ["mipnerf", "mipnerf_wo_ipe"]
    assert contrast_of(tidy[tidy["variant"] != "mipnerf_wo_ipe"], ["nerf"]) == ["mipnerf", "nerf"]
    assert contrast_of(tidy[tidy["variant"] == "nerf"], ["nerf"]) == ["nerf"]
    assert summary_of("bricks", tidy) == (
        "On bricks, mip-NeRF (33.55 dB) has the best average PSNR of 3 variants; it has 3.00 dB more at Full and "
        "3.00 dB more at 1/8 than mip-NeRF w/o IPE."
    )
    assert "the average PSNR is that of NeRF" in summary_of("bricks", tidy[tidy["variant"] == "nerf"])
    table = means_table("bricks", tidy, ["nerf", "mipnerf_wo_ipe", "mipnerf"])
    assert [cell.text for cell in table.rows[2]] == ["mip-NeRF", "32.05", "33.05", "34.05", "35.05", "33.55"]
    assert table.rows[2][1].rank == 1


def test_leads_are_differences_of_what_the_table_shows(make_run, reference_folder):
    runs = read_runs([make_run(psnr=32.004), make_run(psnr=29.996, variant="mipnerf_wo_ipe")])
    tidy = summarise(runs, load_reference(reference_folder))
    table = means_table("bricks", tidy, ["mipnerf", "mipnerf_wo_ipe"])
    assert [row[1].text for row in table.rows] == ["32.05", "30.05"]
    assert "it has 2.00 dB more at Full" in summary_of("bricks", tidy)


def test_what_is_too_large_is_left_out_and_said_so(make_run, make_images, reference_folder, tmp_path):
    folders = [make_run(scene="wall"), make_run(scene="tower")]
    data = make_images(folders)
    runs = read_runs(folders)
    everything, count = choose_images(runs)
    assert len(everything) == count == 2 * 2 * 4
    size = sum(candidate.num_bytes() for candidate in everything)
    some, _ = choose_images(runs, size / 2)
    assert sum(candidate.num_bytes() for candidate in some) <= size / 2
    # One view of all scenes, coarse levels first, comes before any second view.
    assert {(one.runs[0].scene, one.level) for one in some} >= {(s, n) for s in ("wall", "tower") for n in (1, 2, 3)}
    assert max(one.place for one in some) == 0 or {one.level for one in some if one.place == 0} == {0, 1, 2, 3}
    assert "16 further sets of images" in page_of(folders, data, reference_folder, max_bytes=0)
    figures = [tmp_path / f"bricks_{name}.png" for name in ("levels", "history")]
    for figure in figures:
        Image.effect_noise((64, 64), 50).save(figure)
    shown = choose_figures(figures, ["bricks"], 1.5 * figures[0].stat().st_size * 4 / 3)
    assert [figure.is_shown for figure in shown] == [True, False]
    strip = choose_figures([tmp_path / "bricks_2_wall_strip.png"], ["bricks", "bricks_2"])[0]
    assert strip.dataset == "bricks_2"
    assert strip.title == "Renderings and errors: wall"
    assert strip.caption
    assert "Left out for its size" not in page_of(folders, data, reference_folder, figures=figures)


def test_details_are_what_the_files_of_the_run_say(make_run):
    folder = make_run()
    assert read_jobs(folder / "benchmarks") == []
    add_benchmark(folder, "evaluate_0", "161.5\t0:02:41\t300.5\t1\t1\t1\t0\t0\t99.0\t150.0")
    add_benchmark(folder, "evaluate_1", "0.2\t0:00:00\t-\t-\t-\t-\t-\t-\t0.0\tNA")
    add_benchmark(folder, "train", "3800.0\t1:03:20\t500.0\t1\t1\t1\t0\t0\t99.0\t3700.0")
    (run,) = read_runs([folder])
    details = details_of(run)
    assert [job.cells() for job in details.jobs] == [
        ["train", "1:03:20", "1:01:40", "500 MiB"],
        ["evaluate_0", "2:42", "2:30", "300 MiB"],
        ["evaluate_1", "0.2 s", "—", "—"],
    ]
    assert details.record["package_version"] == "0.1.0"
    assert details.record["threads"] == "2"
    assert yaml.safe_load(details.configuration)["train"]["max_steps"] == 1000
    (row,) = times_table([run], [details]).rows
    assert [cell.text for cell in row] == ["bricks", "wall", "mipnerf", "1:02:05", "500", "2:42", "300", "cpu"]
    assert row[5].number == pytest.approx(161.7)


def test_curves_are_what_was_logged(make_run):
    folder = make_run()
    rows = [
        ValidationRow(step, 3, view, 20.0 + step / 1000 + view, None, 60.0) for step in (2000, 4000) for view in (0, 1)
    ]
    write_validation(folder / "validation.csv", rows)
    data = run_data(*read_runs([folder]))
    assert data["training"]["step"] == list(range(100, 4100, 100))
    assert data["training"]["minutes"][-1] == pytest.approx(4000 * 0.7 / 60, rel=1e-5)
    assert data["validation"] == {"step": [2000, 4000], "minutes": [1.0, 1.0], "psnr": [22.5, 24.5], "level": 3}
    assert len(thinned(np.arange(1000.0))) == 150


def test_the_settings_in_which_variants_differ_are_compared(make_run):
    runs = read_runs([make_run(), make_run(variant="wide", model={"net_width": 512, "single_mlp": False})])
    table = differences_table(runs)
    assert [column.name for column in table.columns[2:]] == ["model net_width", "model single_mlp"]
    assert [[cell.text for cell in row[1:]] for row in table.rows] == [["mipnerf", "256", "—"], ["wide", "512", "no"]]
    assert differences_table(runs[:1]) is None


def test_a_metric_that_only_some_scenes_have_is_shown_with_dashes(make_run, make_images, reference_folder):
    folders = [make_run(lpips=0.2), make_run(scene="tower")]
    text = page_of(folders, make_images(folders), reference_folder, lpips_reason="no network")
    assert re.search(r"<td[^>]*>LPIPS</td>.*<td[^>]*>0\.\d+</td><td[^>]*>—</td>", text)
    assert "LPIPS could not be measured: no network." in text


def test_a_missing_image_is_named(make_run, make_images, reference_folder):
    folder = make_run()
    data = make_images([folder])
    (folder / "level_2" / "renderings" / "001.png").unlink()
    with pytest.raises(DataError, match=r"level_2/renderings/001\.png"):
        page_of([folder], data, reference_folder)


@pytest.mark.slow
def test_the_script_writes_the_page_or_one_message(make_run, make_images, reference_folder, tmp_path):
    folder = make_run()
    out = tmp_path / "report.html"
    scenes = [f"bricks/wall={make_images([folder])}"]
    message = call("page", "--runs", folder, "--reference", reference_folder, "--data", *scenes, "--output", out)
    assert message.startswith(f"wrote {out}: ")
    assert out.read_text().startswith("<!DOCTYPE html>")
    message = call("page", "--runs", tmp_path, "--reference", reference_folder, "--output", out, code=1)
    assert message.startswith("DataError: ")
    assert "Traceback" not in message


def test_template_style_and_script_come_with_an_installed_package():
    code = """
from setuptools import Distribution
project = Distribution()
project.parse_config_files(["pyproject.toml"])
build = project.get_command_obj("build_py")
build.ensure_finalized()
build.manifest_files = {}
print(*sorted(build.find_data_files("mipnerf.report.page", "mipnerf/report/page")))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {Path(name).name for name in found.split()} >= {"page.html.jinja", "base.css", "viewer.js"}


def test_a_scene_without_its_data_is_named(make_run, reference_folder):
    with pytest.raises(DataError, match="truth of bricks/wall is: add --data bricks/wall=FOLDER"):
        build_page([make_run()], reference_folder, {})


def test_a_film_ends_with_the_last_step_and_loses_the_middle_first(make_run, tmp_path):
    folder = make_run()
    (folder / "validation").mkdir()
    steps = range(100, 3100, 100)
    rows = [ValidationRow(step, 3, view, 20.0, None, 1.0) for step in steps for view in (0, 1)]
    write_validation(folder / "validation.csv", rows)
    for row in rows[10:]:  # of the first validations, there are no pictures any more
        Image.new("RGB", (8, 4)).save(folder / "validation" / picture_name(row.step, row.view))
    runs = read_runs([folder])
    frames, count = choose_frames(runs)
    chosen = [frame.row.step for frame in frames]
    assert len(chosen) == count == 12
    assert chosen == sorted(chosen)
    assert chosen[-1] == 3000
    assert {frame.row.view for frame in frames} == {0}
    size = frames[0].path.stat().st_size * 4 / 3
    few, count = choose_frames(runs, 3.5 * size)
    assert count == 12
    assert [frame.row.step for frame in few] == [chosen[0], chosen[5], chosen[-1]]


def test_videos_are_in_the_page_as_far_as_there_is_room(make_run):
    folder = make_run()
    frames = folder / "video_zoom" / "frames" / "abc"
    frames.mkdir(parents=True)
    Image.new("RGB", (8, 4)).save(frames / "00000.png")
    for name, size in (("video_spherical", 1000), ("video_zoom_vs_nerf", 400), ("video_zoom", 300)):
        (folder / f"{name}.mp4").write_bytes(bytes(size))
    videos = choose_videos(read_runs([folder]), max_bytes=1000)
    assert [(video.path.stem, video.is_shown) for video in videos] == [
        ("video_spherical", False),
        ("video_zoom", True),
        ("video_zoom_vs_nerf", True),
    ]
    assert [video.poster is not None for video in videos] == [False, True, True]


def test_an_orbit_that_is_not_whole_is_none(make_run):
    folder = make_run()
    assert choose_orbits(read_runs([folder])) == ([], 0)
    add_orbit(folder)
    (orbit,), count = choose_orbits(read_runs([folder]))
    assert count == 1
    assert (orbit.frames, orbit.columns, orbit.sizes[3]) == (6, 3, (4, 4))
    sheet = np.array(Image.open(io.BytesIO(orbit.sheets[1])))
    assert sheet.shape == (2 * 16, 3 * 16, 3)
    assert sheet[20, 20].tolist() == [41] * 3  # the second of the second row: frame 4
    assert choose_orbits(read_runs([folder]), max_bytes=10) == ([], 1)
    (folder / "orbit" / "frames" / "2" / "00003.png").unlink()
    assert choose_orbits(read_runs([folder])) == ([], 0)
