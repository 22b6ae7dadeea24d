"""What was fetched beside what its source holds: changes are noticed, and nothing but changes."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_files import tree, write_scene

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.origins import Comparison, compare_with_source, want, wanted_file

DESK = {"transforms.json": b"cameras", **{f"images/{i:03d}.png": b"pixels %d" % i for i in range(4)}}
KINDS = ["folder", "zip", "tar", "tar.gz"]
NOTES = {"README.txt": b"about", "images/Thumbs.db": b"litter", ".cache/0.png": b"hidden", "images/.a.png": b"hidden"}
TIMES = count(1_600_000_000)  # so that no two files are of one age, however fast they are written


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Make `folder` hold exactly `files`; those that differ are written to in place, the others not at all."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            touch(path)
    return folder


def touch(path: Path) -> None:
    seconds = next(TIMES)
    os.utime(path, (seconds, seconds))


def pack(folder: Path, kind: str) -> Path:
    """The source that `folder` is, or an archive of it."""
    archive = folder.with_name(f"{folder.name}.{kind}")
    if kind == "folder":
        return folder
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
            for path in sorted(folder.rglob("*")):
                stream.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as stream:
            stream.add(folder, arcname=".")
    touch(archive)
    return archive


class Desk:
    """A capture in a source of some kind, and what was fetched of it."""

    def __init__(self, folder: Path, kind: str = "folder"):
        self.kind, self.captures, self.fetched = kind, folder / "captures", folder / "data" / "desk"
        self.source = self.make(DESK)

    def make(self, files: Mapping[str, bytes]) -> Path:
        write_files(self.captures / "desk", files)
        return pack(self.captures, self.kind)

    def fetch(self) -> "Desk":
        fetch_scene(self.source, "desk", self.fetched)
        return self

    def compare(self, source: Path | None = None) -> Comparison:
        return compare_with_source(source or self.source, {"desk": self.fetched})["desk"]

    def state(self, source: Path | None = None) -> str:
        return self.compare(source).state

    def manifest(self) -> dict[str, dict]:
        return {file["path"]: file for file in json.loads((self.fetched / "manifest.json").read_text())["files"]}


@pytest.fixture(params=KINDS)
def desk(request, tmp_path) -> Desk:
    return Desk(tmp_path, request.param).fetch()


@pytest.fixture
def linked(tmp_path) -> Desk:
    """One whose files are those of the source."""
    desk = Desk(tmp_path).fetch()
    assert os.path.samefile(desk.fetched / "transforms.json", desk.captures / "desk" / "transforms.json")
    return desk


def zero(path: Path) -> None:
    """Spoil the content, which nothing but reading it can tell."""
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


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


def clean(desk: Desk) -> dict[str, bytes]:
    """What was fetched, with the sums of the manifest."""
    files = {
        n: c for n, c in tree(desk.fetched).items() if c is not None and n not in ("manifest.json", ".origin.json")
    }
    assert {name: len(content) for name, content in files.items()} == {n: f["size"] for n, f in desk.manifest().items()}
    subprocess.run(
        ["sha256sum", "--check", "--status"],
        input="".join(f"{file['sha256']}  {name}\n" for name, file in desk.manifest().items()),
        text=True,
        check=True,
        cwd=desk.fetched,
    )
    return files


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


def replace(path: Path, content: bytes) -> None:
    """Put another file of the same size and time in the place of `path`."""
    stat = path.stat()
    path.with_suffix(".new").write_bytes(content)
    os.utime(path.with_suffix(".new"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(path.with_suffix(".new"), path)


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


def identity(path: Path) -> tuple[int, int]:
    """Another one after every writing; reading changes a file's times as well."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def test_the_data_may_lie_in_the_scene_itself(tmp_path):
    fetched = write_files(tmp_path / "desk", DESK) / "data" / "desk"
    for _ in range(2):
        fetch_scene(tmp_path / "desk", "desk", fetched)
        record = identity(fetched / ".origin.json")
        assert compare_with_source(tmp_path / "desk", {"desk": fetched})["desk"].state == "same"
        assert identity(fetched / ".origin.json") == record


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


def make_old(desk: Desk) -> None:
    """As it was fetched before there were records."""
    path = desk.fetched / "manifest.json"
    manifest = json.loads(path.read_text()) | {"source": desk.source.name}
    for file in manifest["files"]:
        del file["crc32"]
    path.write_text(json.dumps(manifest))
    (desk.fetched / ".origin.json").unlink()


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
