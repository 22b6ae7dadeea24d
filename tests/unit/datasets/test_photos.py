"""Cameras of photographs and videos: found again where they were thrown away, or refused with one message."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_files import FRAMES, deviations, take_pictures, write_photographs, write_video
from PIL import Image

from mipnerf.config import DataConfig
from mipnerf.datasets.captures import structure
from mipnerf.datasets.captures.colmap import read_photographs
from mipnerf.datasets.captures.frames import laplacian_variance, sharpest
from mipnerf.datasets.captures.photos import find_cameras
from mipnerf.datasets.captures.pictures import unique_names
from mipnerf.datasets.captures.structure import pairs_of
from mipnerf.datasets.load import load_scene
from mipnerf.errors import ConfigError, DataError

pytest.importorskip("pycolmap", reason="the extra `sfm` is not installed: pip install -e '.[sfm]'")
DATA = DataConfig()


@pytest.fixture(scope="module")
def taken() -> tuple[list[np.ndarray], np.ndarray]:
    return take_pictures()


@pytest.fixture(scope="module")
def found(taken, tmp_path_factory) -> Path:
    """The cameras of photographs with another capture's beside them, which has no cameras of its own."""
    folder = tmp_path_factory.mktemp("photos")
    source = write_photographs(taken[0], folder / "desk")
    (source / "IMG damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    find_cameras(source, folder / "found", DATA, threads=1)
    return folder / "found"


@pytest.mark.slow
def test_cameras_are_those_that_were_thrown_away(found, taken):
    photographs = read_photographs(found, DATA)
    assert photographs.names == [f"images/IMG_{i:04d}.jpg" for i in range(FRAMES)]
    off, degrees = deviations(photographs.camtoworlds, taken[1])
    # A quarter of an orbit at 320 pixels; tests/photos.py asks for less than half of that at its size.
    assert np.median(off) < 0.01
    assert off.max() < 0.03
    assert np.median(degrees) < 1
    assert degrees.max() < 2.5
    assert abs(photographs.intrinsics[0, 0] / 320 / (0.5 / 0.36) - 1) < 0.06
    assert (photographs.intrinsics == photographs.intrinsics[0]).all()


def test_no_point_is_left_that_is_far_off_where_it_is_seen(found):
    import pycolmap

    points = pycolmap.Reconstruction(found / "sparse" / "0").points3D.values()
    # The last adjustment may move one a little beyond what was asked for before it.
    assert max(point.error for point in points) < 1.1 * structure.MAX_ERROR
    assert min(point.track.length() for point in points) >= 2


def test_the_scene_is_read_like_one_of_colmap_with_up_as_z(found):
    scene = load_scene(found, "train", 2, DATA.model_copy(update={"layout": "colmap"}))
    assert scene.at_level(0).num_views == 8
    up = scene.camtoworlds[:, :, 1].mean(axis=0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=0.1)


def test_the_summary_says_what_was_found_and_what_left_out(found):
    summary = json.loads((found / "summary.json").read_text())
    assert (summary["pictures"], summary["registered"], summary["models"]) == (FRAMES + 1, FRAMES, [FRAMES])
    assert 0 < summary["mean_reprojection_error"] < 1
    assert summary["cameras"][0]["model"] == "SIMPLE_RADIAL"
    (missing,) = summary["left_out"]
    assert missing["picture"] == "IMG damaged.jpg"
    assert "whole, undamaged" in missing["reason"]
    assert not list(found.parent.glob(".found*"))


@pytest.mark.slow
def test_the_same_pictures_have_the_same_cameras_and_only_others_are_looked_at_again(
    found, taken, tmp_path, monkeypatch, caplog
):
    """Stopped after matching: features and pairs are kept. To the bit what was never stopped finds."""
    source = write_photographs(taken[0], tmp_path / "desk")
    (source / "IMG damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with monkeypatch.context() as patch:
        patch.setattr(structure, "map_models", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception, match="stopped"):
            find_cameras(source, tmp_path / "found", DATA, threads=1)
    with caplog.at_level("INFO"):
        find_cameras(source, tmp_path / "found", DATA, threads=1)
    assert f"features of {FRAMES} of {FRAMES} pictures are there" in caplog.text
    assert "matches of 45 of 45 pairs are there" in caplog.text
    assert (tmp_path / "found" / "manifest.json").read_text() == (found / "manifest.json").read_text()


@pytest.mark.slow
def test_a_picture_that_is_turned_becomes_upright_and_one_that_shares_nothing_is_left_out(taken, tmp_path, caplog):
    source = write_photographs(taken[0][:6], tmp_path / "desk")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right makes it upright
    Image.fromarray(np.rot90(taken[0][6])).save(source / "turned.jpg", exif=exif, quality=95)
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source / "other.webp", lossless=True)
    find_cameras(source, tmp_path / "found", DATA, threads=1)
    photographs = read_photographs(tmp_path / "found", DATA)
    assert "images/turned.jpg" in photographs.names
    off, degrees = deviations(photographs.camtoworlds, taken[1][:7])
    assert off.max() < 0.03
    assert degrees.max() < 2
    (missing,) = json.loads((tmp_path / "found" / "summary.json").read_text())["left_out"]
    assert missing["picture"] == "other.webp"
    assert "other.webp shares too little with the others" in caplog.text


@pytest.mark.slow
def test_the_sharp_frames_of_a_video_are_found(taken, tmp_path):
    source = write_video(taken[0], tmp_path / "desk" / "VID.MP4", repeats=3).parent
    find_cameras(source, tmp_path / "found", DATA.model_copy(update={"frames": FRAMES}), threads=1)
    photographs = read_photographs(tmp_path / "found", DATA)
    assert photographs.names == [f"images/frame_{3 * i:05d}.jpg" for i in range(FRAMES)]
    off, degrees = deviations(photographs.camtoworlds, taken[1])
    assert np.median(off) < 0.01
    assert np.median(degrees) < 1
    assert json.loads((tmp_path / "found" / "summary.json").read_text())["video_frames"] == 3 * FRAMES


@pytest.mark.slow
def test_of_several_models_the_largest_is_taken(taken, tmp_path, caplog):
    """What is mirrored looks like another place."""
    source = write_photographs(taken[0][:6], tmp_path / "desk")
    write_photographs([picture[:, ::-1] for picture in taken[0][5:9]], source, first=6)
    find_cameras(source, tmp_path / "found", DATA, threads=1)
    assert "fall into 2 models, of 6, 4 pictures, and the largest is taken" in caplog.text
    assert "is in a smaller model, of 4 pictures" in caplog.text
    with pytest.raises(DataError, match=r"6 of 10 pictures found.*min_registered \(0.7\).*2 models, of 6, 4 pictures"):
        find_cameras(source, tmp_path / "other", DATA.model_copy(update={"min_registered": 0.7}), threads=1)


FLAT = [np.full((64, 64, 3), 40 * i, dtype=np.uint8) for i in range(4)]
RNG = np.random.default_rng(1)
NOISE = [RNG.integers(0, 256, (160, 160, 3), dtype=np.uint8) for _ in range(3)]
REFUSED = {
    "no texture": (lambda folder: write_photographs(FLAT, folder), "no texture: the usual picture has 0 points"),
    "no overlap": (lambda folder: write_photographs(NOISE, folder), "no 3 of the 3 pictures fit together"),
    "one image": (
        lambda folder: write_photographs(FLAT[:1], folder),
        "1 picture, and cameras are found from at least 3",
    ),
    "nothing": (lambda folder: folder.mkdir(), r"holds no photograph \(.png.*and no video \(.mp4"),
    "phone's own": (
        lambda folder: write_bytes(folder / "IMG.HEIC"),
        "IMG.HEIC and the like are to be exported as JPEG",
    ),
    "no video": (
        lambda folder: write_bytes(folder / "VID.mp4"),
        r"VID.mp4: the video cannot be read \(.*copy it again",
    ),
    "two videos": (
        lambda folder: [write_bytes(folder / f"{i}.mov") for i in "12"],
        r"2 videos \(1.mov, 2.mov\); leave",
    ),
}


def write_bytes(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no picture")


@pytest.mark.parametrize(("write", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_cameras_is_refused(tmp_path, write, message):
    write(tmp_path / "desk")
    with pytest.raises(DataError, match=message) as raised:
        find_cameras(tmp_path / "desk", tmp_path / "found", DATA, threads=1)
    assert str(tmp_path / "desk") in str(raised.value)
    assert not (tmp_path / "found").exists()


def test_without_pycolmap_it_says_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(ConfigError, match=r"photos needs pycolmap.*pip install -e '.\[sfm\]'"):
        find_cameras(write_photographs(FLAT, tmp_path / "desk"), tmp_path / "found", DATA, threads=1)


def test_a_database_that_is_damaged_is_made_anew(tmp_path, caplog):
    database = tmp_path / "database.db"
    database.write_bytes(b"SQLite format 3\0 and nothing else")
    structure.discard_if_damaged(database)
    assert not database.exists()
    assert "computed anew" in caplog.text


def test_pairs_of_a_sequence_are_neighbours_and_key_frames():
    names = [f"{i:03d}" for i in range(40)]
    pairs = pairs_of(names, True, DATA)
    assert ("000", "010") in pairs
    assert ("001", "012") not in pairs
    assert ("000", "020") in pairs  # both are key frames
    assert ("003", "039") in pairs  # the ends meet
    assert len(pairs_of(names, False, DATA)) == 40 * 39 // 2
    assert pairs_of(names, False, DATA.model_copy(update={"matching": "sequential"})) == pairs
    assert len(pairs_of(names, True, DATA.model_copy(update={"matching": "exhaustive"}))) == 40 * 39 // 2


@pytest.mark.slow
def test_each_picture_may_have_a_camera_of_its_own(taken, tmp_path):
    data = DATA.model_copy(update={"shared_camera": False, "camera_model": "PINHOLE"})
    find_cameras(write_photographs(taken[0][:6], tmp_path / "desk"), tmp_path / "found", data, threads=1)
    intrinsics = read_photographs(tmp_path / "found", data).intrinsics
    assert len(np.unique(intrinsics[:, 0])) == 6
    assert (intrinsics[:, 0] != intrinsics[:, 1]).all()


def test_the_sharpest_frame_of_each_part_is_chosen():
    assert sharpest(np.array([1, 5, 2, 9, 0, 3.0]), 3) == [1, 3, 5]
    assert sharpest(np.array([1, 5.0]), 4) == [0, 1]
    assert laplacian_variance(NOISE[0][..., 0]) > laplacian_variance(np.full((9, 9), 7, dtype=np.uint8)) == 0


def test_names_have_neither_blanks_nor_doubles():
    assert unique_names(["a b.jpg", "a/b.jpg", "A_b.png", "ä.jpg"]) == ["a_b", "a_b_", "A_b__", "_"]
