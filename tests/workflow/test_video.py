"""The videos, views and mesh, on the toy scene."""

import imageio.v3 as iio
import pytest

from .conftest import jobs
from .test_pages import block_with

RUN = "results/bricks/mipnerf/bricks"
SMALL = "--configfile config/test/toy.yaml --config 'video={frames: 5, width: 24}' --"


def test_the_commands_of_the_readme_make_videos_views_and_a_mesh(copy_of_finished):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    pytest.importorskip("skimage", reason="the extra `mesh` is not installed")
    videos, *renderings, mesh = block_with("video_spherical.mp4")
    videos = videos.replace("--cores 8", f"--cores 2 {SMALL}")
    assert jobs(copy_of_finished.run(videos).stdout) == {"frames": 3, "video": 1, "compare_videos": 1}
    folder = copy_of_finished.folder
    sizes = {"video_spherical": (48, 24), "video_zoom_vs_mipnerf_wo_ipe": (48, 24 + 16)}
    for name, size in sizes.items():
        reader = imageio_ffmpeg.read_frames(str(folder / RUN / f"{name}.mp4"))
        properties = next(reader)
        assert (properties["size"], properties["fps"], len(list(reader))) == (size, 30, 5)
    # Another speed only encodes, and other shards find the frames.
    faster = copy_of_finished.run(videos.replace("frames: 5", "frames: 5, fps: 12").replace(" -- ", " -n -- ")).stdout
    assert jobs(faster) == {"video": 1, "compare_videos": 1}
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("video_*/frames/*/*.png")}
    assert len(times) == 15
    shards = videos.replace("width: 24", "width: 24, shards: 2").replace(f" {RUN}/video_zoom_vs_mipnerf_wo_ipe.mp4", "")
    assert jobs(copy_of_finished.run(shards).stdout) == {"frames": 2, "video": 1}
    assert {path: path.stat().st_mtime_ns for path in times} == times

    for line in renderings:
        copy_of_finished.run(line)
    for name, size in {"view.png": 192, "depth.png": 192, "pose.png": 96}.items():
        assert iio.imread(folder / name).shape == (size, size, 3)
    (folder / "scipy.py").unlink()
    # A toy network has hardly any density.
    said = copy_of_finished.run(f"{mesh} --resolution 8", check=False).stdout
    if "no surface" in said:
        least, most = map(float, said.split("bounds are ")[1].split(", and")[0].split(" to "))
        copy_of_finished.run(f"{mesh} --resolution 8 --threshold {(least + most) / 2}")
    assert (folder / "bricks.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")


def test_a_path_that_a_dataset_does_not_have_stops_the_dry_run(finished_project):
    result = finished_project.toy("-n", "--", f"{RUN}/video_spiral.mp4", check=False)
    assert result.returncode != 0
    assert "bricks/mipnerf/bricks has no path spiral; it has spherical and zoom" in result.stdout
