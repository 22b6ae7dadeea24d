import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from scene_files import tree, write_scene

from mipnerf.datasets.blender import load_scene
from mipnerf.datasets.fetching import archives, fetch
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.errors import DataError

ARCHIVES = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]
TAR_MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
MARKER = "transforms_train.json"


@pytest.fixture
def nested(tmp_path) -> Path:
    """A folder as people have it: two scenes some levels down, and what macOS leaves behind."""
    top = tmp_path / "Downloads"
    write_scene(top / "nerf_synthetic" / "lego")
    write_scene(top / "nerf_synthetic" / "ship", {"train": 1, "val": 1, "test": 1})
    for litter in ("__MACOSX/nerf_synthetic/lego/._transforms_train.json", "nerf_synthetic/lego/.DS_Store"):
        (top / litter).parent.mkdir(parents=True, exist_ok=True)
        (top / litter).write_bytes(b"litter")
    (top / "__MACOSX" / "nerf_synthetic" / "lego" / MARKER).write_bytes(b"litter")
    (top / "nerf_synthetic" / "lego" / "train" / "._r_0.png").write_bytes(b"litter")
    (top / "README.txt").write_text("about")
    return top


def pack(folder: Path, archive: Path) -> Path:
    """All of `folder` in an archive of the kind that the name says, names starting with './' in tars."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
            for path in sorted(folder.rglob("*")):
                stream.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, TAR_MODES[archive.name.partition(".")[2]]) as stream:
            stream.add(folder, arcname=".")
    return archive


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name) if "\\" in name else name, content)
    return path


def tar_of(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def clean(files: dict) -> dict:
    """A snapshot without litter, manifest and record."""
    return {name: content for name, content in files.items() if "._" not in name and name[:2] not in (".D", ".o", "ma")}


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


def refused(source: Path, tmp_path: Path, scene: str = "lego") -> str:
    """The one message with which the scene is refused; nothing may have changed on the disk."""
    target = tmp_path / "outputs" / scene
    write_scene(target, {"train": 1, "val": 1, "test": 1}, width=2, height=2)
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        fetch_scene(source, scene, target)
    assert tree(tmp_path) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_source_is_named_with_what_would_be_accepted(tmp_path):
    message = refused(tmp_path / "lego.zip", tmp_path)
    assert message.startswith(f"{tmp_path}/lego.zip does not exist")
    assert ".tar.gz" in message


def test_an_absent_scene_is_answered_with_those_there_are(nested, tmp_path):
    for source in (nested, pack(nested, tmp_path / "synthetic.zip")):
        message = refused(source, tmp_path, "drums")
        assert "no scene named 'drums'" in message
        assert "found: nerf_synthetic/lego, nerf_synthetic/ship" in message


def test_a_source_without_any_scene_says_so(tmp_path):
    assert "found: none at all" in refused(zip_of(tmp_path / "a.zip", {"lego/readme.txt": b"x"}), tmp_path)


def test_the_only_scene_is_not_taken_for_one_of_another_name(tmp_path):
    message = refused(zip_of(tmp_path / "a.zip", {f"ship/{MARKER}": b"{}"}), tmp_path)
    assert "no scene named 'lego'" in message
    assert "found: ship" in message


def test_two_scenes_of_the_name_are_both_listed(nested, tmp_path):
    write_scene(nested / "backup" / "lego")
    message = refused(nested, tmp_path)
    assert "2 scenes named 'lego'" in message
    assert "found: backup/lego, nerf_synthetic/lego" in message


HOSTILE = {
    "absolute": ("/etc/evil", "leads out of the archive"),
    "parent": ("lego/../../evil", "leads out of the archive"),
    "windows drive": ("C:\\evil", "leads out of the archive"),
    "windows parent": ("lego\\..\\..\\evil", "leads out of the archive"),
    "windows share": ("\\\\host\\share\\evil", "leads out of the archive"),
    "twice": ("lego/./train/r_0.png", "occurs twice"),
    "file as folder": ("lego/train/r_0.png/x", "is both a file and a folder"),
}


@pytest.mark.parametrize(("name", "message"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hostile_names_are_refused_naming_the_member(tmp_path, kind, name, message):
    members = {f"lego/{MARKER}": b"{}", "lego/train/r_0.png": b"x", name: b"evil"}
    make = zip_of if kind == "zip" else lambda path, members: tar_of(path, *members.items())
    answer = refused(make(tmp_path / f"a.{kind}", members), tmp_path)
    assert message in answer
    assert f"a.{kind}: member " in answer
    assert not list(tmp_path.rglob("evil"))


SPECIAL = {
    "symbolic link": special("lego/train/r_1.png", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": special("lego/train/r_1.png", tarfile.LNKTYPE, "lego/transforms_train.json"),
    "character device": special("lego/train/r_1.png", tarfile.CHRTYPE),
    "block device": special("lego/train/r_1.png", tarfile.BLKTYPE),
    "pipe": special("lego/train/r_1.png", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("member", SPECIAL.values(), ids=SPECIAL)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, member):
    message = refused(tar_of(tmp_path / "a.tar", (f"lego/{MARKER}", b"{}"), member), tmp_path)
    assert "member 'lego/train/r_1.png' is a link or a special file" in message


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("lego/train/r_1.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"lego/{MARKER}", "{}")
        archive.writestr(info, "/etc/passwd")
    assert "member 'lego/train/r_1.png' is a link or a special file" in refused(tmp_path / "a.zip", tmp_path)


def test_an_encrypted_member_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", {f"lego/{MARKER}": b"{}"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert f"member 'lego/{MARKER}' is encrypted" in refused(path, tmp_path)


def test_links_within_a_source_folder_are_followed(nested, tmp_path):
    lego = nested / "nerf_synthetic" / "lego"
    (lego / "train" / "r_1.png").unlink()
    (lego / "train" / "r_1.png").symlink_to(nested / "nerf_synthetic" / "ship" / "train" / "r_0.png")
    fetch_scene(nested, "lego", tmp_path / "out")
    taken = tmp_path / "out" / "train" / "r_1.png"
    assert not taken.is_symlink()
    assert taken.read_bytes() == (nested / "nerf_synthetic" / "ship" / "train" / "r_0.png").read_bytes()


def test_links_out_of_a_source_folder_are_refused(nested, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (nested / "nerf_synthetic" / "lego" / "train" / "r_9.png").symlink_to(tmp_path / "secret.png")
    message = refused(nested, tmp_path)
    assert "member 'nerf_synthetic/lego/train/r_9.png' is a link out of" in message


@pytest.mark.parametrize("place", ["inside", "outside", "nowhere"])
def test_linked_folders_and_broken_links_are_refused_not_left_out(nested, tmp_path, place):
    (tmp_path / "outside").mkdir()
    targets = {
        "inside": nested / "nerf_synthetic" / "ship",
        "outside": tmp_path / "outside",
        "nowhere": nested / "none",
    }
    (nested / "nerf_synthetic" / "lego" / "extra").symlink_to(targets[place])
    assert "member 'nerf_synthetic/lego/extra' is a " in refused(nested, tmp_path)


def test_a_pipe_in_a_source_folder_is_refused(nested, tmp_path):
    os.mkfifo(nested / "nerf_synthetic" / "lego" / "pipe")
    assert refused(nested, tmp_path).startswith(f"{nested}: member 'nerf_synthetic/lego/pipe' is a")


def test_a_linked_scene_folder_is_explained(nested, tmp_path):
    (nested / "drums").symlink_to(write_scene(tmp_path / "elsewhere"))
    assert "drums is a link out of" in refused(nested, tmp_path, "drums")


def test_an_archive_that_grows_too_much_is_refused(tmp_path):
    zeros = bytes(archives.RATIO_FLOOR + 1)
    bomb = zip_of(tmp_path / "a.zip", {f"lego/{MARKER}": b"{}", "lego/bomb.png": zeros})
    assert len(zeros) > archives.MAX_RATIO * bomb.stat().st_size
    assert "member 'lego/bomb.png' unpacks the archive to over 200 times its size" in refused(bomb, tmp_path)


def test_a_tar_that_states_a_huge_size_is_refused(tmp_path):
    info = tarfile.TarInfo("lego/bomb.png")
    info.size = 1 << 50
    (tmp_path / "a.tar").write_bytes(tarfile.TarInfo(f"lego/{MARKER}").tobuf() + info.tobuf() + bytes(2048))
    assert "member 'lego/bomb.png' unpacks the archive to over 200 times its size" in refused(
        tmp_path / "a.tar", tmp_path
    )


def test_a_small_archive_may_compress_well(tmp_path):
    source = zip_of(tmp_path / "a.zip", {f"lego/{MARKER}": bytes(1 << 20)})
    assert source.stat().st_size * archives.MAX_RATIO < 1 << 20
    fetch_scene(source, "lego", tmp_path / "out")
    assert (tmp_path / "out" / MARKER).stat().st_size == 1 << 20


@pytest.mark.parametrize(("kind", "stored"), [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)])
def test_a_member_with_a_wrong_checksum_is_named(tmp_path, kind, stored):
    content = os.urandom(5000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", stored) as archive:
        archive.writestr(f"lego/{MARKER}", "{}")
        archive.writestr("lego/train/r_0.png", content)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"r_0.png") + 2500] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "a.zip: member 'lego/train/r_0.png' is damaged or truncated" in refused(tmp_path / "a.zip", tmp_path)


def test_a_member_that_is_shorter_than_stated_is_named(tmp_path):
    path = zip_of(tmp_path / "a.zip", {f"lego/{MARKER}": b"{}"})
    data = bytearray(path.read_bytes())
    size = data.index(b"PK\x01\x02") + 24  # of the uncompressed file, in the central directory
    data[size : size + 4] = (5).to_bytes(4, "little")
    path.write_bytes(data)
    assert f"member 'lego/{MARKER}' has 2 bytes, expected 5" in refused(path, tmp_path)


def test_a_tar_with_a_damaged_header_does_not_end_there(tmp_path):
    path = tar_of(tmp_path / "a.tar", (f"lego/{MARKER}", b"{}"), ("lego/r_0.png", b"x"), ("lego/r_1.png", b"y"))
    data = bytearray(path.read_bytes())
    data[data.index(b"lego/r_1.png")] ^= 1
    path.write_bytes(data)
    assert "after member 'lego/r_0.png' (the next header is damaged or missing)" in refused(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"PK\x03\x04" + bytes(100), bytes(10), b"\x1f\x8b\x08"])
def test_what_is_no_archive_is_refused_with_what_would_be_accepted(tmp_path, content):
    (tmp_path / "lego.zip").write_bytes(content)
    message = refused(tmp_path / "lego.zip", tmp_path)
    assert "lego.zip: damaged, truncated or no archive" in message
    assert "accepted is a folder, or a .zip" in message


def fetch_oversized(tmp_path: Path, size: int) -> str:
    """The message for a scene of `size` bytes, in a sparse file that takes no space; nothing may be written."""
    source = write_scene(tmp_path / "lego")
    with (source / "huge.bin").open("wb") as stream:
        stream.truncate(size)
    with pytest.raises(DataError) as caught:
        fetch_scene(source, "lego", tmp_path / "new" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["lego"]
    return str(caught.value)


def test_a_scene_beyond_all_bounds_is_refused(tmp_path):
    message = fetch_oversized(tmp_path, fetch.MAX_TOTAL_BYTES)
    assert f"allowed are {fetch.MAX_TOTAL_BYTES:,}" in message


def test_a_scene_that_does_not_fit_on_the_disk_is_refused_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_TOTAL_BYTES", 1 << 62)
    message = fetch_oversized(tmp_path, shutil.disk_usage(tmp_path).total)
    # The place is the nearest folder that exists.
    assert message.startswith(f"{tmp_path}: ")
    assert "are free; make room or name another folder" in message


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
