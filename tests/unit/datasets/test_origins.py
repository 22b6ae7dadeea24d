"""What was fetched beside what its source holds: changes are noticed, and nothing but changes."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping

import pytest
from desk_source import (
    DESK,
    KINDS,
    NOTES,
    Desk,
    clean,
    identity,
    pack,
    replace,
    touch,
    write_files,
    zero,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_files import tree, write_scene

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.origins import compare_with_source


def test_what_was_not_fetched_is_missing(tmp_path):
    desk = Desk(tmp_path)
    assert desk.state() == "missing"
    assert desk.state(tmp_path / "none") == "missing"
    desk.fetch()
    (desk.fetched / "manifest.json").unlink()
    assert (desk.state(), desk.compare().describe()) == ("missing", "")


def test_no_file_is_read_where_nothing_was_touched(desk):
    zero(desk.captures / "desk" / "images" / "000.png" if desk.kind == "folder" else desk.source)
    assert (desk.state(), desk.compare().describe()) == ("same", "")


def test_another_age_is_no_change(desk):
    for path in desk.captures.rglob("*"):
        touch(path)
    touch(desk.source)
    before = tree(desk.fetched)
    assert desk.state() == "same"
    assert {n for n, content in tree(desk.fetched).items() if content != before[n]} == {".origin.json"}
    # Looked at once: now it is known.
    zero(desk.captures / "desk" / "images" / "000.png" if desk.kind == "folder" else desk.source)
    assert desk.state() == "same"


def test_only_files_that_were_touched_are_read(linked):
    zero(linked.captures / "desk" / "images" / "000.png")
    touch(linked.captures / "desk" / "images" / "001.png")
    assert linked.state() == "same"


def test_a_zip_archive_is_compared_by_its_directory(tmp_path):
    desk = Desk(tmp_path, "zip").fetch()
    with zipfile.ZipFile(desk.source) as archive:
        directory = archive.start_dir
    with desk.source.open("r+b") as stream:
        stream.write(b"PK" + bytes(directory - 2))
    touch(desk.source)
    assert desk.state() == "same"


@pytest.mark.parametrize("how", [os.rename, lambda old, new: subprocess.run(["cp", "-r", old, new], check=True)])
def test_another_place_is_no_change(desk, tmp_path, how):
    how(desk.source, tmp_path / "elsewhere")
    assert [desk.state(tmp_path / "elsewhere") for _ in range(2)] == ["same", "same"]
    assert json.loads((desk.fetched / ".origin.json").read_text())["source"] == str(tmp_path / "elsewhere")


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_source_with_the_same_files_is_no_change(desk, kind):
    desk.kind = kind
    source = desk.make(DESK)
    assert desk.state(source) == "same"


def test_files_that_no_layout_reads_are_no_change(desk):
    desk.source = desk.make(DESK | NOTES)
    assert desk.state() == "same"
    desk.fetch()
    desk.source = desk.make(DESK | NOTES | {"README.txt": b"more"})
    assert desk.state() == "same"


def test_files_that_were_added_changed_and_removed_are_told(desk):
    files = DESK | {"images/003.png": b"PIXELS 3", "transforms.json": b"CAMERAS", "images/new.jpg": b"new"} | NOTES
    del files["images/000.png"]
    desk.source = desk.make(files)
    comparison = desk.compare()
    assert comparison.state == "changed"
    assert comparison.added == ("images/new.jpg",)
    assert comparison.changed == ("images/003.png", "transforms.json")
    assert comparison.removed == ("images/000.png",)
    assert comparison.describe() == (
        f"{desk.fetched} is taken anew from {desk.source}: 1 file added (images/new.jpg), "
        "2 changed (images/003.png, transforms.json), 1 removed (images/000.png)"
    )
    assert desk.fetch().state() == "same"
    assert clean(desk) == files


def test_a_message_names_few_of_many_files(desk):
    desk.source = desk.make({name: content + b"!" for name, content in DESK.items()})
    assert "0 files added, 5 changed (images/000.png, images/001.png, images/002.png, ...), 0 r" in (
        desk.compare().describe()
    )


def test_an_edit_in_place_is_noticed_though_it_changes_what_was_fetched(linked):
    linked.make(DESK | {"images/001.png": b"PIXELS 1"})
    assert (linked.fetched / "images/001.png").read_bytes() == b"PIXELS 1"
    assert linked.compare().changed == ("images/001.png",)
    assert linked.fetch().state() == "same"
    assert clean(linked)["images/001.png"] == b"PIXELS 1"


def test_a_file_in_the_place_of_another_is_noticed_whatever_its_age(linked):
    replace(linked.captures / "desk" / "images" / "001.png", b"PIXELS 1")
    assert (linked.fetched / "images/001.png").read_bytes() == b"pixels 1"
    assert linked.compare().changed == ("images/001.png",)
    assert linked.fetch().state() == "same"
    assert clean(linked)["images/001.png"] == b"PIXELS 1"


def test_a_copy_of_the_original_put_back_after_an_edit_does_not_mend_what_was_fetched(linked):
    path = linked.captures / "desk" / "images" / "001.png"
    zero(path)
    replace(path, b"pixels 1")
    assert linked.compare().changed == ("images/001.png",)
    assert linked.fetch().state() == "same"
    assert clean(linked) == DESK


def test_a_fetched_file_that_is_missing_is_noticed_at_the_next_comparison(linked):
    os.unlink(linked.fetched / "images" / "001.png")
    replace(linked.captures / "desk" / "images" / "001.png", b"pixels 1")
    assert linked.compare().changed == ("images/001.png",)


def test_only_the_scene_of_an_archive_that_has_changed_is_told(tmp_path):
    folders = {scene: tmp_path / "data" / scene for scene in ("lego", "ship", "drums")}
    for scene in ("lego", "ship"):
        write_scene(tmp_path / "nerf" / "synthetic" / scene)
    source = pack(tmp_path / "nerf", "zip")
    for scene in ("lego", "ship"):
        fetch_scene(source, scene, folders[scene])
    write_scene(tmp_path / "nerf" / "synthetic" / "ship", {"train": 4, "val": 1, "test": 2})
    found = compare_with_source(pack(tmp_path / "nerf", "zip"), folders)
    assert {scene: comparison.state for scene, comparison in found.items()} == {
        "lego": "same",
        "ship": "changed",
        "drums": "missing",
    }
    assert "train/r_3.png" in found["ship"].added


def test_images_of_blender_scenes_are_known_under_the_names_they_are_given(tmp_path):
    lego = write_scene(tmp_path / "nerf" / "lego")
    os.rename(lego / "train" / "r_0.png", lego / "train" / "r_0.PNG")
    fetched = tmp_path / "data" / "lego"
    fetch_scene(lego, "lego", fetched)
    assert compare_with_source(lego, {"lego": fetched})["lego"].state == "same"
    touch(lego / "train" / "r_0.PNG")
    assert compare_with_source(lego, {"lego": fetched})["lego"].state == "same"
    (lego / "train" / "r_0.PNG").write_bytes(b"another")
    assert compare_with_source(lego, {"lego": fetched})["lego"].changed == ("train/r_0.png",)


def test_what_is_fetched_into_its_own_source_is_no_change_of_it(tmp_path):
    captures = tmp_path / "captures"
    folders = {scene: captures / "data" / scene for scene in ("desk", "chair")}
    for scene, folder in folders.items():
        write_files(captures / scene, DESK)
        fetch_scene(captures, scene, folder)
    for expected in ("same", "same"):
        assert {c.state for c in compare_with_source(captures, folders).values()} == {expected}
        touch(captures / "desk" / "transforms.json")


def test_the_data_may_lie_in_the_scene_itself(tmp_path):
    fetched = write_files(tmp_path / "desk", DESK) / "data" / "desk"
    for _ in range(2):
        fetch_scene(tmp_path / "desk", "desk", fetched)
        record = identity(fetched / ".origin.json")
        assert compare_with_source(tmp_path / "desk", {"desk": fetched})["desk"].state == "same"
        assert identity(fetched / ".origin.json") == record


@pytest.mark.slow
def test_many_files_take_little_time(tmp_path):
    desk = Desk(tmp_path)
    desk.make(DESK | {f"images/{i:05d}.jpg": b"pixels" for i in range(5000)})
    desk.fetch()
    start = time.perf_counter()
    assert desk.state() == "same"
    print(f"5,000 files were compared in {time.perf_counter() - start:.3f} s")
    (desk.captures / "desk" / "images" / "04999.jpg").unlink()
    assert desk.compare().removed == ("images/04999.jpg",)


def test_the_lego_archive_is_the_same_in_another_place(lego_archive, tmp_path):
    fetched = tmp_path / "data" / "lego"
    fetch_scene(lego_archive, "lego", fetched)
    shutil.copy(lego_archive, tmp_path / "copy")
    for source in (lego_archive, tmp_path / "copy"):
        assert compare_with_source(source, {"lego": fetched})["lego"].state == "same"


def test_comparing_needs_no_numpy():
    command = "import sys, mipnerf.datasets.fetching.origins; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


FILES = st.dictionaries(
    st.sampled_from(["a.png", "images/0.jpg", "images/1.JPG", "poses_bounds.npy", "notes.txt", ".b.png"]),
    st.sampled_from([b"", b"first", b"other", b"longer"]),
)


def read_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in ("notes.txt", ".b.png")}


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), steps=st.lists(FILES, min_size=1, max_size=4))
def test_a_scene_is_the_same_exactly_where_the_files_are_that_can_be_read(tmp_path_factory, kind, steps):
    folder = tmp_path_factory.mktemp("property")
    desk = Desk(folder, kind).fetch()
    known = DESK
    for step in steps:
        files = {"transforms.json": b"cameras", **step}
        desk.source = desk.make(files)
        old, new = read_files(known), read_files(files)
        comparison = desk.compare()
        assert set(comparison.added) == new.keys() - old.keys()
        assert set(comparison.removed) == old.keys() - new.keys()
        assert set(comparison.changed) == {name for name in new.keys() & old.keys() if new[name] != old[name]}
        assert comparison.state == ("same" if new == old else "changed")
        if comparison.state == "changed":
            assert desk.fetch().state() == "same"
            assert clean(desk) == files
            known = files
    shutil.rmtree(folder)
