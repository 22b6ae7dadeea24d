"""Sources that vanish or cannot be read, records that are missing or damaged, clocks that are ahead."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from desk_source import (
    DESK,
    KINDS,
    Desk,
    identity,
    make_old,
    pack,
    touch,
    write_files,
    zero,
)
from scene_files import tree

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.origins import compare_with_source, want, wanted_file


def test_a_source_that_vanished_leaves_what_was_fetched(desk, tmp_path):
    before = tree(desk.fetched)
    comparison = desk.compare(tmp_path / "none.zip")
    assert comparison.state == "vanished"
    assert comparison.describe().startswith(f"{tmp_path}/none.zip does not exist; {desk.fetched}, fetched on 2")
    assert "is used as it is: put the source right" in comparison.describe()
    assert "`sources`" in comparison.describe()
    assert tree(desk.fetched) == before


def damage(desk: Desk) -> str:
    with desk.source.open("r+b") as stream:
        stream.truncate(desk.source.stat().st_size // 4)
    return "damaged, truncated or no archive"


def empty(desk: Desk) -> str:
    desk.source.write_bytes(b"")
    return "damaged, truncated or no archive"


def rename(desk: Desk) -> str:
    os.rename(desk.captures / "desk", desk.captures / "table")
    pack(desk.captures, desk.kind)
    return "no scene named 'desk'"


def double(desk: Desk) -> str:
    shutil.copytree(desk.captures / "desk", desk.captures / "backup" / "desk")
    (desk.captures / "desk" / "transforms.json").write_bytes(b"CAMERAS")
    pack(desk.captures, desk.kind)
    return "2 scenes named 'desk'"


HARM = [(kind, harm) for kind in KINDS for harm in (rename, double)]


HARM += [(kind, harm) for kind in KINDS[1:] for harm in (damage, empty)]


@pytest.mark.parametrize(
    ("desk", "harm"),
    HARM,
    indirect=["desk"],
)
def test_a_source_that_cannot_be_compared_leaves_what_was_fetched(desk, harm):
    problem = harm(desk)
    touch(desk.source)
    before = tree(desk.fetched)
    comparison = desk.compare()
    assert comparison.state == "unreadable"
    message = comparison.describe()
    assert message.startswith(f"{desk.source}: ")
    assert problem in message
    assert f"; {desk.fetched}, fetched on 2" in message
    assert "\n" not in message
    assert tree(desk.fetched) == before


def test_one_scene_that_cannot_be_compared_does_not_hide_the_others(tmp_path):
    folders = {scene: tmp_path / "data" / scene for scene in ("desk", "chair")}
    for scene, folder in folders.items():
        write_files(tmp_path / "captures" / scene, DESK)
        fetch_scene(tmp_path / "captures", scene, folder)
    shutil.rmtree(tmp_path / "captures" / "desk")
    (tmp_path / "captures" / "chair" / "images" / "0.png").write_bytes(b"new")
    states = {scene: c.state for scene, c in compare_with_source(tmp_path / "captures", folders).items()}
    assert states == {"desk": "unreadable", "chair": "changed"}


def test_what_could_not_be_fetched_is_not_taken_for_a_change(linked, tmp_path):
    (linked.captures / "desk" / "images" / "001.png").unlink()
    (linked.captures / "desk" / "images" / "001.png").symlink_to(tmp_path / "none")
    assert "member 'desk/images/001.png' is a link out of" in linked.compare().describe()
    (linked.captures / "desk" / "images" / "001.png").unlink()
    (linked.captures / "desk" / "extra").symlink_to(tmp_path)
    comparison = linked.compare()
    assert (comparison.state, comparison.added) == ("unreadable", ())
    assert "member 'desk/extra' is a link out of" in comparison.describe()


def test_data_that_may_only_be_read_are_compared_every_time(desk):
    (desk.fetched / ".origin.json").unlink()
    (desk.fetched / ".origin.json" / "in the way").mkdir(parents=True)
    assert [desk.state() for _ in range(2)] == ["same", "same"]
    desk.source = desk.make(DESK | {"images/001.png": b"PIXELS 1"})
    assert desk.compare().changed == ("images/001.png",)


def test_what_was_fetched_without_a_record_is_compared_once(desk):
    make_old(desk)
    assert desk.state() == "same"
    zero(desk.captures / "desk" / "images" / "000.png" if desk.kind == "folder" else desk.source)
    assert desk.state() == "same"


def test_a_change_is_noticed_without_a_record(desk):
    make_old(desk)
    desk.source = desk.make(DESK | {"images/001.png": b"PIXELS 1"})
    assert desk.compare().changed == ("images/001.png",)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"files": 3}', b'{"files": [{"path": "a.png"}]}', b"\xff"]
)
def test_records_that_are_damaged_are_made_anew(desk, content):
    (desk.fetched / ".origin.json").write_bytes(content)
    assert desk.state() == "same"
    assert json.loads((desk.fetched / ".origin.json").read_text())["source"] == str(desk.source)
    (desk.fetched / ".origin.json").write_bytes(content)
    (desk.fetched / "manifest.json").write_bytes(content)
    assert desk.compare().added == tuple(sorted(DESK))


def test_what_is_wanted_is_newer_than_what_was_fetched_and_says_why(linked):
    linked.make(DESK | {"images/new.png": b"new"})
    path = want(linked.compare())
    assert path == wanted_file(linked.fetched) == linked.fetched.parent / ".desk.wanted.json"
    assert json.loads(path.read_text()) == {
        "source": str(linked.source),
        "fetched_at": (linked.fetched / "manifest.json").stat().st_mtime_ns,
        "added": ["images/new.png"],
        "changed": [],
        "removed": [],
    }
    assert path.stat().st_mtime > (linked.fetched / "manifest.json").stat().st_mtime
    before = identity(path)
    assert want(linked.compare()) == path
    assert identity(path) == before


def test_the_same_is_wanted_again_after_it_was_fetched(linked):
    said = set()
    for content in (b"PIXELS 1", b"Pixels 1", b"PIXELS 1"):
        linked.make(DESK | {"images/001.png": content})
        path = want(linked.compare())
        # Snakemake passes over a file that says what it said before.
        assert path.read_text() not in said
        said.add(path.read_text())
        assert path.stat().st_mtime > (linked.fetched / "manifest.json").stat().st_mtime
        linked.fetch()
        assert path.stat().st_mtime < (linked.fetched / "manifest.json").stat().st_mtime


def test_a_clock_that_is_ahead_does_not_hide_what_is_wanted(linked):
    later = time.time() + 1000
    os.utime(linked.fetched / "manifest.json", (later, later))
    linked.make(DESK | {"images/001.png": b"PIXELS 1"})
    assert want(linked.compare()).stat().st_mtime > later


def test_what_cannot_be_written_is_not_wanted(linked, caplog):
    wanted_file(linked.fetched).mkdir()
    linked.make(DESK | {"images/001.png": b"PIXELS 1"})
    assert want(linked.compare()) is None
    assert f"{linked.fetched} cannot be taken anew" in caplog.text


def test_processes_may_look_while_another_fetches(desk):
    """Whatever they see of it, none fails."""
    states = set()

    def look() -> None:
        for _ in range(40):
            comparison = desk.compare()
            states.add(comparison.state)
            comparison.describe()
            if comparison.state == "changed":
                want(comparison)

    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        for i in range(4):
            desk.source = desk.make(DESK | {"images/001.png": b"PIXELS %d" % i})
            desk.fetch()
        for running in looks:
            running.result()
    assert "same" in states
    assert desk.state() == "same"
