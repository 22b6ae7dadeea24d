"""Archives of scenes as tests need them: whole, hostile, damaged."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from scene_files import tree, write_scene

from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.errors import DataError

ARCHIVES = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]
TAR_MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
MARKER = "transforms_train.json"


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
