"""Fetching scenes from archives and folders."""

import hashlib
import json
import os
import tempfile
import zlib
from pathlib import Path

import pytest
from archive_files import ARCHIVES, MARKER, clean, pack, zip_of
from scene_files import tree

from mipnerf.datasets.blender import load_scene
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.errors import DataError


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_a_nested_scene_comes_out_of_every_kind_of_archive(nested, tmp_path, suffix):
    target = tmp_path / "data" / "lego"
    fetch_scene(pack(nested, tmp_path / f"synthetic.{suffix}"), "lego", target)
    taken = tree(target)
    assert clean(taken) == clean(tree(nested / "nerf_synthetic" / "lego"))
    assert not [name for name in taken if "._" in name or ".DS_Store" in name]
    assert load_scene(target, "train").num_views == 3
    assert [path.name for path in target.parent.iterdir()] == ["lego"]


def test_a_nested_scene_comes_out_of_a_folder(nested, tmp_path):
    fetch_scene(nested, "lego", tmp_path / "out")
    assert clean(tree(tmp_path / "out")) == clean(tree(nested / "nerf_synthetic" / "lego"))


def test_the_scene_folder_itself_may_be_the_source(nested, tmp_path):
    fetch_scene(nested / "nerf_synthetic" / "ship", "ship", tmp_path / "out")
    assert clean(tree(tmp_path / "out")) == clean(tree(nested / "nerf_synthetic" / "ship"))


def test_a_scene_at_the_top_of_an_archive_needs_no_folder(nested, tmp_path):
    fetch_scene(pack(nested / "nerf_synthetic" / "ship", tmp_path / "my_capture.zip"), "ship", tmp_path / "out")
    assert (tmp_path / "out" / MARKER).exists()


def test_the_manifest_lists_every_file_with_size_and_checksum(nested, tmp_path):
    fetch_scene(pack(nested, tmp_path / "synthetic.zip"), "lego", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    files = {name: content for name, content in tree(tmp_path / "out").items() if content is not None}
    del files["manifest.json"], files[".origin.json"]
    assert (manifest["scene"], manifest["verified"]) == ("lego", None)
    assert [file["path"] for file in manifest["files"]] == sorted(files)
    assert len(files) == 9
    for file in manifest["files"]:
        content = files[file["path"]]
        assert file == {
            "path": file["path"],
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "crc32": f"{zlib.crc32(content):08x}",
        }


def test_archive_and_folder_give_the_same_files_and_manifest(nested, tmp_path):
    fetch_scene(pack(nested, tmp_path / "synthetic.tar"), "lego", tmp_path / "a")
    fetch_scene(nested, "lego", tmp_path / "b")
    first, second = (tree(tmp_path / name) for name in "ab")
    assert first.pop(".origin.json") != second.pop(".origin.json")
    assert first == second


def test_files_of_a_folder_are_linked_not_copied(nested, tmp_path):
    fetch_scene(nested, "lego", tmp_path / "out")
    assert os.path.samefile(tmp_path / "out" / MARKER, nested / "nerf_synthetic" / "lego" / MARKER)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system at /dev/shm")
def test_files_are_copied_from_another_file_system(nested, tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if os.stat(other).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is on the same file system")
        fetch_scene(nested, "ship", Path(other) / "out")
        assert clean(tree(Path(other) / "out")) == clean(tree(nested / "nerf_synthetic" / "ship"))


def test_a_fetched_scene_can_be_fetched_again(nested, tmp_path):
    fetch_scene(nested, "lego", tmp_path / "first" / "lego")
    fetch_scene(tmp_path / "first", "lego", tmp_path / "second")
    manifest = json.loads((tmp_path / "second" / "manifest.json").read_text())
    assert not {"manifest.json", ".origin.json"} & {file["path"] for file in manifest["files"]}
    origin = json.loads((tmp_path / "second" / ".origin.json").read_text())
    assert origin["source"] == str(tmp_path / "first")


def test_an_old_scene_without_its_manifest_is_replaced_as_a_whole(nested, tmp_path):
    target = tmp_path / "out"
    fetch_scene(nested, "lego", target)
    (target / "manifest.json").unlink()
    fetch_scene(nested, "ship", target)
    assert clean(tree(target)) == clean(tree(nested / "nerf_synthetic" / "ship"))
    assert {path.name for path in tmp_path.iterdir()} == {"Downloads", "out"}


def test_the_target_may_lie_in_the_source(nested):
    for _ in range(2):
        fetch_scene(nested, "lego", nested / "data" / "lego")
    assert clean(tree(nested / "data" / "lego")) == clean(tree(nested / "nerf_synthetic" / "lego"))


def test_windows_backslashes_are_separators(tmp_path):
    source = zip_of(tmp_path / "a.zip", {"lego\\": b"", f"lego\\{MARKER}": b"{}", "lego\\train\\r_0.png": b"x"})
    fetch_scene(source, "lego", tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {MARKER, "manifest.json", ".origin.json", "train", "train/r_0.png"}


def test_the_source_is_never_deleted(nested, tmp_path):
    archive = pack(nested, nested / "nerf_synthetic" / "lego" / "synthetic.zip")
    before = tree(tmp_path)
    for source in (archive, nested / "nerf_synthetic" / "lego"):
        with pytest.raises(DataError, match=r"the source .* lies in it"):
            fetch_scene(source, "lego", nested / "nerf_synthetic" / "lego")
    assert tree(tmp_path) == before


def test_a_folder_of_something_else_is_not_replaced(nested, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for target in (tmp_path / "home", tmp_path / "home" / "thesis.tex"):
        with pytest.raises(DataError, match="would be replaced, but holds no scene"):
            fetch_scene(nested, "lego", target)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


def test_the_lego_archive_holds_the_scene(lego_archive, tmp_path):
    fetch_scene(lego_archive, "lego", tmp_path / "lego")
    manifest = json.loads((tmp_path / "lego" / "manifest.json").read_text())
    assert sum(file["path"].endswith(".png") for file in manifest["files"]) >= 400
    assert load_scene(tmp_path / "lego", "train").num_views == 100


@pytest.mark.parametrize("marker", ["transforms.json", "sparse/0/cameras.bin", "sparse/cameras.txt"])
def test_captures_of_ones_own_are_scenes_with_all_their_files(tmp_path, marker):
    for scene in ("desk", "chair"):
        for name in (marker, "images/0.jpg", "colmap/sparse/0/cameras.bin"):
            path = tmp_path / "captures" / "today" / scene / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    for source in (tmp_path / "captures", pack(tmp_path / "captures", tmp_path / "captures.zip")):
        fetch_scene(source, "desk", tmp_path / "out")
        assert set(tree(tmp_path / "out")) >= {marker, "images/0.jpg", "colmap/sparse/0/cameras.bin", "manifest.json"}
        fetch_scene(source, "desk", tmp_path / "out")  # replaces itself
        with pytest.raises(DataError, match=r"no scene named 'table'.*transforms\.json.*found: .*chair, .*desk"):
            fetch_scene(source, "table", tmp_path / "other")
    # The folder of the scene itself, under another name.
    fetch_scene(tmp_path / "captures" / "today" / "desk", "mine", tmp_path / "mine")
    assert (tmp_path / "mine" / marker).exists()
