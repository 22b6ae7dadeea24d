"""Photographs and videos without cameras, wherever they are in a folder or an archive."""

import json
from pathlib import Path

import pytest
from scene_files import pack

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.origins import compare_with_source
from mipnerf.errors import DataError


@pytest.fixture
def captures(tmp_path) -> Path:
    """A folder of photographs, one with a folder of them in it, and two videos."""
    for name in ("desk/1.jpg", "desk/2.JPG", "desk/notes.txt", "table/images/1.png", "lamp.MP4", "chair/VID.mov"):
        path = tmp_path / "captures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "captures"


SCENES = {
    "desk": ["1.jpg", "2.JPG", "notes.txt"],
    "table": ["images/1.png"],
    "lamp": ["lamp.MP4"],
    "chair": ["VID.mov"],
}


@pytest.mark.parametrize("is_archive", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_a_folder_or_a_video_of_its_name(captures, tmp_path, scene, is_archive):
    source = pack(captures, tmp_path / "captures.zip") if is_archive else captures
    fetch_scene(source, scene, tmp_path / "out", are_photos=True)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [file["path"] for file in manifest["files"]] == SCENES[scene]

    def state() -> str:
        return compare_with_source(source, {scene: tmp_path / "out"}, {scene})[scene].state

    assert state() == "same"
    for path in captures.rglob("*"):
        path.touch()
    assert state() == "same"
    changed = next(path for path in captures.rglob(Path(SCENES[scene][0]).name) if path.is_file())
    changed.write_bytes(b"another")
    if is_archive:
        pack(captures, source)
    assert state() == "changed"
    fetch_scene(source, scene, tmp_path / "out", are_photos=True)
    assert state() == "same"


def test_a_source_may_be_the_video_or_the_folder_itself(captures, tmp_path):
    fetch_scene(captures / "lamp.MP4", "other", tmp_path / "one", are_photos=True)
    assert (tmp_path / "one" / "lamp.MP4").read_bytes() == b"lamp.MP4"
    assert compare_with_source(captures / "lamp.MP4", {"other": tmp_path / "one"}, {"other"})["other"].state == "same"
    fetch_scene(captures / "desk", "desk", tmp_path / "two", are_photos=True)
    assert (tmp_path / "two" / "1.jpg").exists()


def test_what_is_not_there_is_refused_with_what_is(captures, tmp_path):
    with pytest.raises(DataError, match=r"no scene named 'sofa' .*a video of that name.*found: .*chair, desk"):
        fetch_scene(captures, "sofa", tmp_path / "out", are_photos=True)
    (captures / "today" / "desk").mkdir(parents=True)
    (captures / "today" / "desk" / "1.jpg").touch()
    with pytest.raises(DataError, match=r"2 scenes named 'desk'.*found: desk, today/desk"):
        fetch_scene(captures, "desk", tmp_path / "out", are_photos=True)


def test_without_cameras_a_scene_of_another_layout_is_still_refused(captures, tmp_path):
    with pytest.raises(DataError, match="no scene named 'desk'"):
        fetch_scene(captures, "desk", tmp_path / "out")
