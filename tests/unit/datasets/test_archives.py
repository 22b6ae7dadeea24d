"""Whatever an archive holds: a `DataError`, or files within the folder that was asked for."""

import gzip
import io
import stat
import tarfile
import tempfile
import tracemalloc
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_files import tree

from mipnerf.datasets.fetching import archives
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.errors import DataError

MARKER = "transforms_train.json"
MAGIC = [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00"]
PARTS = [
    "lego",
    "..",
    ".",
    "",
    "/",
    "\\",
    "C:",
    "__MACOSX",
    "._x",
    "train",
    MARKER,
    "r_0.png",
    "r_0.PNG",
    "\0",
    "ä",
    "レ",
]
NAMES = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), min_size=1, max_size=5).map("/".join)


def zip_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is
            archive.writestr(info, content)
    return stream.getvalue()


def tar_of(members: dict[str, bytes], mode: str = "w", **header) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


MEMBERS = {f"lego/{MARKER}": b"{}", "lego/train/r_0.png": bytes(range(256)) * 4, "lego/test/r_0_depth_0001.png": b"x"}
VALID = {
    "zip": zip_of(MEMBERS),
    "tar": tar_of(MEMBERS),
    "pax": tar_of(MEMBERS, pax_headers={"comment": "é" * 600}),
    "gnu": tar_of({name.replace("/train/", f"/{'t' * 200}/"): content for name, content in MEMBERS.items()}),
    "tar.gz": tar_of(MEMBERS, "w:gz"),
    "tar.xz": tar_of(MEMBERS, "w:xz"),
    "tar.bz2": tar_of(MEMBERS, "w:bz2"),
}


def unpack(data: bytes) -> dict | None:
    """What the scene lego in the archive `data` consists of, or None if it is refused; nothing else may change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "in" / "archive").write_bytes(data)
        try:
            fetch_scene(folder / "in" / "archive", "lego", folder / "out" / "lego")
        except DataError:
            assert [path.name for path in folder.iterdir() if path.name != "out"] == ["in"]
            assert not (folder / "out").exists() or not any((folder / "out").iterdir())
            return None
        assert {path.name for path in folder.iterdir()} == {"in", "out"}
        assert [path.name for path in (folder / "out").iterdir()] == ["lego"]
        assert not [path for path in folder.rglob("*") if path.is_symlink()]
        assert (folder / "in" / "archive").read_bytes() == data
        return tree(folder / "out" / "lego")


@given(st.sampled_from(MAGIC), st.binary(max_size=600))
def test_arbitrary_bytes_are_refused(magic, data):
    assert unpack(magic + data) is None


@given(st.sampled_from(sorted(VALID)), st.data())
def test_a_damaged_archive_is_refused_or_gives_files_within_the_folder(kind, data):
    archive = bytearray(VALID[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(archive) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "set":
            archive[place] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del archive[place : place + data.draw(st.integers(1, 40))]
        else:
            archive[place:place] = data.draw(st.binary(max_size=40))
    unpack(bytes(archive))


@given(st.sampled_from(["zip", "tar", "tar.gz"]), st.dictionaries(NAMES, st.binary(max_size=9), max_size=5))
def test_arbitrary_names_are_refused_or_stay_within_the_folder(kind, members):
    members = {f"lego/{MARKER}": b"{}", **{name: content for name, content in members.items() if "\0" not in name}}
    unpack(zip_of(members) if kind == "zip" else tar_of(members, "w:gz" if kind == "tar.gz" else "w"))


@pytest.mark.parametrize("kind", VALID)
def test_what_is_not_damaged_is_taken(kind):
    taken = unpack(VALID[kind])
    assert {content for content in taken.values() if content} > set(MEMBERS.values())


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_names_of_all_alphabets_are_kept(make):
    name = "Aufnahmen/шхуна/レゴ_é_e\u0301.png"
    assert unpack(make({f"lego/{MARKER}": b"{}", f"lego/{name}": b"x"}))[name] == b"x"


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_names_longer_than_a_file_system_takes_are_refused(make):
    for name in ("n" * 256, "ü" * 128, "/".join("n" * 200 for _ in range(6))):
        assert unpack(make({f"lego/{MARKER}": b"{}", f"lego/{name}": b"x"})) is None
    assert unpack(make({f"lego/{MARKER}": b"{}", "lego/" + "n" * 255: b"x"})) is not None


def test_a_scene_is_found_under_a_name_in_other_letters_unless_its_own_is_there():
    nested = {f"a/b/Lego/{MARKER}": b"{}", "a/b/Lego/train/R_0.PNG": b"x"}
    assert unpack(zip_of(nested))["train/R_0.png"] == b"x"
    assert unpack(zip_of(nested | {f"c/lego/{MARKER}": b"[]"}))[MARKER] == b"[]"
    assert unpack(zip_of(nested | {f"c/LEGO/{MARKER}": b"[]"})) is None


def test_an_ending_in_capitals_is_kept_where_files_name_it():
    assert "images/1.PNG" in unpack(zip_of({"lego/poses_bounds.npy": b"", "lego/images/1.PNG": b"x"}))


@pytest.mark.parametrize("content", [b"x", b""])
def test_the_same_name_twice_is_refused(content):
    stream = io.BytesIO(zip_of(MEMBERS))
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("lego/train/r_0.png", content)
    assert unpack(stream.getvalue()) is None
    assert unpack(zip_of(MEMBERS | {"lego/train/r_0.PNG": content})) is None


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_special_files_in_a_zip_are_refused(mode):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"lego/{MARKER}", "{}")
        info = zipfile.ZipInfo("lego/x")
        info.external_attr = (mode | 0o666) << 16
        archive.writestr(info, "/etc/passwd")
    assert unpack(stream.getvalue()) is None


def header(kind: bytes, size: int, name: str = "lego/x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_giant_header_is_not_read_into_memory():
    size = 48 << 20  # less than an archive may have in all
    zeros = gzip.compress(bytes(size), 1)
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        archive = gzip.compress(tar_of(MEMBERS)[:1024] + header(kind, size)) + zeros
        tracemalloc.start()
        assert unpack(archive) is None
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < size / 8


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.REGTYPE, "a size of -512 bytes"),  # would come back to itself for ever
        (tarfile.XHDTYPE, "a header claims to have -512 bytes"),  # would be all that follows
        (tarfile.GNUTYPE_LONGNAME, "a header claims to have -512 bytes"),
    ],
)
def test_a_negative_size_leads_nowhere(tmp_path, kind, message):
    (tmp_path / "a.tar").write_bytes(tar_of(MEMBERS)[:1024] + header(kind, -512) + bytes(10240))
    with pytest.raises(DataError, match=message), ExitStack() as stack:
        archives.list_members(tmp_path / "a.tar", stack)


def test_many_headers_together_are_bounded(monkeypatch):
    monkeypatch.setattr(archives, "RATIO_FLOOR", 1 << 20)
    stream = io.BytesIO()
    body = b"1000000 comment=" + b"x" * 999_983 + b"\n"
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as archive:
        for _ in range(8):
            archive.write(header(tarfile.XHDTYPE, len(body)) + body + bytes(-len(body) % 512))
            archive.write(header(tarfile.REGTYPE, 0, f"lego/{MARKER}"))
        archive.write(bytes(1024))
    assert unpack(stream.getvalue()) is None


def test_too_many_files_are_refused(monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    assert unpack(zip_of(MEMBERS)) is None


def test_overlapping_members_do_not_outgrow_the_archive(monkeypatch):
    """Many entries of the directory that share one compressed file."""
    monkeypatch.setattr(archives, "RATIO_FLOOR", 1 << 20)
    data = bytearray(zip_of({"lego/bomb.png": bytes(1 << 20)}))
    start = data.index(b"PK\x01\x02")
    entry, end = data[start : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    entries = b"".join(entry.replace(b"bomb", b"bo%02d" % i) for i in range(99))
    end[8:10] = end[10:12] = (99).to_bytes(2, "little")
    end[12:16] = len(entries).to_bytes(4, "little")
    bomb = bytes(data[:start]) + entries + bytes(end)
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        assert len(archive.infolist()) == 99
    assert unpack(bomb) is None
