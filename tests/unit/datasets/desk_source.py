"""A capture called desk in a source of any kind, and what was fetched of it."""

import json
import os
import subprocess
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from archive_files import pack as pack_archive
from scene_files import tree

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.origins import Comparison, compare_with_source

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
    pack_archive(folder, archive)
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


def zero(path: Path) -> None:
    """Spoil the content, which nothing but reading it can tell."""
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


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


def replace(path: Path, content: bytes) -> None:
    """Put another file of the same size and time in the place of `path`."""
    stat = path.stat()
    path.with_suffix(".new").write_bytes(content)
    os.utime(path.with_suffix(".new"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(path.with_suffix(".new"), path)


def identity(path: Path) -> tuple[int, int]:
    """Another one after every writing; reading changes a file's times as well."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def make_old(desk: Desk) -> None:
    """As it was fetched before there were records."""
    path = desk.fetched / "manifest.json"
    manifest = json.loads(path.read_text()) | {"source": desk.source.name}
    for file in manifest["files"]:
        del file["crc32"]
    path.write_text(json.dumps(manifest))
    (desk.fetched / ".origin.json").unlink()
