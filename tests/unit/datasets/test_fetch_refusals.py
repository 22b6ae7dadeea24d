"""What is not fetched, and what a person is told of it."""

import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_files import MARKER, pack, refused, special, tar_of, zip_of
from scene_files import write_scene

from mipnerf.datasets.fetching import archives, fetch
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.errors import DataError


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
