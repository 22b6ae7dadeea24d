"""One scene out of a local archive or folder, wherever it is nested there, with a manifest of what was taken."""

import hashlib
import json
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from tqdm import tqdm

from mipnerf.datasets.scene import MARKER_NAMES, refuse_to_replace, scene_of_file
from mipnerf.errors import DataError
from mipnerf.files import atomic_folder, write_text

MANIFEST = "manifest.json"
ACCEPTED = "a folder, or a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz archive"
CHUNK = 1 << 20
# Images hardly compress: an archive that grows more than this is damaged or hostile.
MAX_RATIO = 200
RATIO_FLOOR = 64 << 20
MAX_TOTAL_BYTES = 64 << 30
READ_ERRORS = (OSError, EOFError, RuntimeError, ValueError, struct.error, zlib.error, lzma.LZMAError)
READ_ERRORS += (zipfile.BadZipFile, tarfile.TarError)


@dataclass(frozen=True)
class Member:
    """A file (or what passes for one) of the source."""

    source: Path
    name: str  # POSIX, relative to the source
    size: int  # bytes, as stated
    defect: str | None  # why it must not be taken
    open: Callable[[], BinaryIO]
    path: Path | None = None  # where it lies, if the source is a folder

    def __str__(self) -> str:
        return f"{self.source}: member {self.name!r}"


def fetch_scene(source: Path, scene: str, target: Path) -> None:
    """Take the scene `scene` out of `source`, an archive or folder, and put it in the folder `target`.

    The scene is the folder of that name with one of `SCENE_MARKERS`, at any depth; or the top of `source`, if that is
    the only scene there. `target` is replaced as a whole, manifest.json (files with size and
    SHA-256) last. Files of a source folder are hard links where the file system allows. Raises `DataError`, with
    `target` as it was before, if the source is missing or damaged, has no such scene or several, holds links or names
    that lead elsewhere, grows suspiciously when unpacked, or does not fit on the disk.
    """
    check_places(source, target)
    with ExitStack() as stack:
        members = list_members(source, target, stack)
        folder = find_scene(members, scene, source)
        chosen = {name: member for name, member in relative_members(members, folder).items() if name != MANIFEST}
        check_members(chosen)
        check_space(sum(member.size for member in chosen.values()), target)
        try:
            with atomic_folder(target) as temporary:
                progress = tqdm(chosen.items(), desc=f"fetch {scene}", disable=None)
                files = [store(member, name, temporary) for name, member in progress]
                files.sort(key=lambda file: file["path"])
                manifest = {"scene": scene, "source": source.name, "files": files}
                write_text(temporary / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        except OSError as error:
            raise DataError(f"{target}: cannot be written ({error.strerror or error})") from None


def check_places(source: Path, target: Path) -> None:
    """`DataError` if there is no source, or if replacing `target` would delete the source or files of another kind."""
    if not (os.path.isfile(source) or os.path.isdir(source)):  # false also for impossible names
        raise DataError(f"{source} does not exist; put the dataset there or name another place: {ACCEPTED}")
    if source.resolve().is_relative_to(target.resolve()):
        raise DataError(f"{target} would be replaced, but the source {source} lies in it; name another output folder")
    refuse_to_replace(target)


def list_members(source: Path, target: Path, stack: ExitStack) -> list[Member]:
    """All members of `source` except system litter; an archive stays open as long as `stack`."""
    if source.is_dir():
        return [member for member in folder_members(source, target) if not is_litter(member.name)]
    members: list[Member] = []
    try:
        with source.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
        if is_zip:
            found = zip_members(stack.enter_context(zipfile.ZipFile(source)), source)
        else:
            archive = stack.enter_context(tarfile.open(source))  # noqa: SIM115
            found = tar_members(archive, source)
        # A loop, not list(): a failure can then name the last good member.
        for member in bounded(found, source):
            members.append(member)
    except READ_ERRORS as error:
        place = f" after member {members[-1].name!r}" if members else ""
        raise DataError(
            f"{source}: damaged, truncated or no archive{place} ({first_line(error)}); "
            f"get it again; accepted is {ACCEPTED}"
        ) from None
    return [member for member in members if not is_litter(member.name)]


def zip_members(archive: zipfile.ZipFile, source: Path) -> Iterator[Member]:
    for info in archive.infolist():
        if info.filename.endswith(("/", "\\")):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        defect = None if kind in (0, stat.S_IFREG) else "is a link or a special file"
        if info.flag_bits & 1:
            defect = "is encrypted"
        name = clean_name(info.filename, source)
        yield Member(source, name, info.file_size, defect, lambda info=info: archive.open(info))


def tar_members(archive: tarfile.TarFile, source: Path) -> Iterator[Member]:
    for info in archive:
        if not info.isdir():
            defect = None if info.isfile() else "is a link or a special file"
            name = clean_name(info.name, source)
            yield Member(source, name, info.size, defect, lambda info=info: archive.extractfile(info))
    # tarfile takes a damaged header for the end; the true end is a block of zeros.
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise tarfile.ReadError("the next header is damaged or missing")
    while archive.fileobj.read(CHUNK):  # up to the checksum of a compressed stream
        pass


def folder_members(folder: Path, target: Path) -> Iterator[Member]:
    """Files and links below `folder`, without `target`, which may lie inside."""
    root, skipped = folder.resolve(), target.resolve()

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")

    for parent, folders, files in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if Path(parent, name) != skipped]
        linked = [name for name in folders if Path(parent, name).is_symlink()]
        for path in (Path(parent, name) for name in files + linked):
            real = path.resolve()
            if not real.is_relative_to(root):
                defect = f"is a link out of {folder}"
            else:
                defect = None if real.is_file() else "is a broken link, a link to a folder or a special file"
            size = 0 if defect else real.stat().st_size
            name = path.relative_to(root).as_posix()
            yield Member(folder, name, size, defect, lambda real=real: real.open("rb"), real)


def clean_name(name: str, source: Path) -> str:
    """`name` as a normalised POSIX path; `DataError` if it leads out of the archive."""
    # Some Windows tools write backslashes.
    path = PurePosixPath(name.replace("\\", "/"))
    if PureWindowsPath(name).anchor or ".." in path.parts or not path.parts or "\0" in name:
        raise DataError(f"{source}: member {name!r} leads out of the archive, which is not safe to unpack")
    return str(path)


def is_litter(name: str) -> bool:
    """Whether macOS left this file behind."""
    return any(part in ("__MACOSX", ".DS_Store") or part.startswith("._") for part in PurePosixPath(name).parts)


def bounded(members: Iterable[Member], source: Path) -> Iterator[Member]:
    """`members`, stopped by a `DataError` before they outgrow the archive beyond reason."""
    limit, total = max(MAX_RATIO * source.stat().st_size, RATIO_FLOOR), 0
    for member in members:
        total += member.size
        if total > limit:
            raise DataError(f"{member} unpacks the archive to over {MAX_RATIO} times its size, which no dataset does")
        yield member


def find_scene(members: list[Member], scene: str, source: Path) -> PurePosixPath:
    """The folder of `scene` inside `source`; `DataError` listing what is there if it is not exactly one."""
    folders = sorted({folder for m in members if (folder := scene_of_file(m.name)) is not None})
    top = source.resolve().name if source.is_dir() else ""
    matches = [folder for folder in folders if (folder.name or top) == scene]
    if not matches and folders == [PurePosixPath()]:
        matches = folders
    if len(matches) == 1:
        return matches[0]
    found = ", ".join(str(folder) if folder.name else f"{top or '.'} (the top)" for folder in matches or folders)
    count = f"{len(matches)} scenes" if matches else "no scene"
    hint = "; ".join(f"{m.name} {m.defect}" for m in members if m.defect and PurePosixPath(m.name).name == scene)
    raise DataError(
        f"{source}: {count} named {scene!r} (a folder of that name with one of {MARKER_NAMES}); "
        f"found: {found or 'none at all'}{'; ' + hint if hint else ''}"
    )


def relative_members(members: list[Member], folder: PurePosixPath) -> dict[str, Member]:
    """The members below `folder` by their name relative to it; `DataError` if a name occurs twice."""
    chosen: dict[str, Member] = {}
    for member in members:
        if PurePosixPath(member.name).is_relative_to(folder):
            name = str(PurePosixPath(member.name).relative_to(folder))
            if name in chosen:
                raise DataError(f"{member} occurs twice; pack the archive anew")
            chosen[name] = member
    return chosen


def check_members(members: dict[str, Member]) -> None:
    """`DataError` for the first member that is no plain file, or stands where another needs a folder."""
    for name, member in members.items():
        if member.defect:
            raise DataError(f"{member} {member.defect}; only plain files can be taken")
        for parent in PurePosixPath(name).parents:
            if str(parent) in members:
                raise DataError(f"{members[str(parent)]} is both a file and a folder; pack the archive anew")


def check_space(size: int, target: Path) -> None:
    """`DataError` if `size` bytes are more than is allowed, or than is free where `target` will be."""
    if size > MAX_TOTAL_BYTES:
        raise DataError(f"the scene unpacks to {size:,} bytes, allowed are {MAX_TOTAL_BYTES:,}")
    existing = next(parent for parent in target.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise DataError(f"{existing}: {size:,} bytes are needed, {free:,} are free; make room or name another folder")


def store(member: Member, name: str, folder: Path) -> dict:
    """Put `member` at `folder / name` and return its entry of the manifest."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with ExitStack() as stack:
        # A file of a folder is read for its sum only.
        linked = member.path is not None and link(member.path, path)
        stream = None if linked else stack.enter_context(path.open("xb"))
        for chunk in read_chunks(member):
            digest.update(chunk)
            size += len(chunk)
            if stream:
                stream.write(chunk)
    return {"path": name, "size": size, "sha256": digest.hexdigest()}


def link(source: Path, path: Path) -> bool:
    """Make `path` a hard link to `source`; False where the file system does not allow that."""
    try:
        os.link(source, path)
    except OSError:
        return False
    return True


def read_chunks(member: Member) -> Iterator[bytes]:
    """The content of `member`; `DataError` naming it if it is damaged, or not as long as stated."""
    size = 0
    try:
        with member.open() as stream:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                yield chunk
    except READ_ERRORS as error:
        raise DataError(f"{member} is damaged or truncated ({first_line(error)}); get the source again") from None
    if size != member.size:
        raise DataError(f"{member} has {size} bytes, expected {member.size}; get the source again")


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
