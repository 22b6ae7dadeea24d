"""The files in an archive or folder, none of which can lead elsewhere, repeat or outgrow its source."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

from mipnerf.config.layouts import VIDEO_SUFFIXES
from mipnerf.errors import DataError

ACCEPTED = "a folder, or a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz archive"
CHUNK = 1 << 20
# Images hardly compress: an archive that grows more than this is damaged or hostile.
MAX_RATIO = 200
RATIO_FLOOR = 64 << 20
MAX_MEMBERS = 1_000_000
MAX_NAME, MAX_PART = 1024, 255  # bytes of a name, and of one of its parts, that any file system takes
DECOMPRESSORS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
# What is raised for a damaged archive depends on where the damage is.
READ_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, RuntimeError, ValueError, LookupError)
READ_ERRORS += (ArithmeticError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


class DamagedError(DataError):
    """An archive cannot be read, in whole or in part: it is to be had anew."""


@dataclass(frozen=True)
class Member:
    """A file (or what passes for one) of the source."""

    source: Path
    name: str  # POSIX, relative to the source
    size: int  # bytes, as stated
    defect: str | None  # why it must not be taken
    open: Callable[[], IO[bytes]]
    path: Path | None = None  # where it lies, if the source is a folder
    stat: os.stat_result | None = None  # of the file, or of the archive when it was opened
    crc32: int | None = None  # as stated, if the source is a zip archive

    def __str__(self) -> str:
        return f"{self.source}: member {self.name!r}"


def list_members(source: Path, stack: ExitStack, skipped: Collection[Path] = ()) -> list[Member]:
    """All members of `source` except system litter; an archive stays open as long as `stack`. A video is its own.

    `skipped` are folders that are left out of a source folder. Raises `DataError` for a damaged, truncated or hostile
    archive; members that are no plain files are listed with their `defect`.
    """
    if source.is_dir():
        return [member for member in folder_members(source, skipped) if not is_litter(member.name)]
    if source.suffix.lower() in VIDEO_SUFFIXES:
        status = source.stat()
        return [Member(source, source.name, status.st_size, None, partial(_opened, source), source.resolve(), status)]
    members: list[Member] = []
    try:
        # A loop, not list(): a failure can then name the last good member.
        for member in bounded(open_archive(source, stack), source):
            members.append(member)
    except READ_ERRORS as error:
        place = f" after member {members[-1].name!r}" if members else ""
        raise DamagedError(
            f"{source}: damaged, truncated or no archive{place} ({first_line(error)}); "
            f"get it again; accepted is {ACCEPTED}"
        ) from None
    return [member for member in members if not is_litter(member.name)]


def open_archive(source: Path, stack: ExitStack) -> Iterator[Member]:
    """The members of an archive, whose first bytes say what it is, whatever it is called."""
    stream: IO[bytes] = stack.enter_context(source.open("rb"))
    status = os.fstat(stream.fileno())
    start = stream.read(5)
    stream.seek(0)
    if start.startswith(b"PK"):
        return zip_members(stack.enter_context(zipfile.ZipFile(stream)), source, status)
    for magic, decompressor in DECOMPRESSORS.items():
        if start.startswith(magic):
            stream = stack.enter_context(decompressor(stream))
    cautious = CautiousStream(stream, size_limit(source))
    return tar_members(stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], cautious), mode="r:")), source, status)


class CautiousStream:
    """A stream that hands out a chunk at a time, up to `limit`: `tarfile` reads headers as long as they claim to be."""

    def __init__(self, stream: IO[bytes], limit: int):
        self.stream, self.limit = stream, limit
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header claims to have {size} bytes")
        self._check(self.tell() + size)
        return self.stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self.stream.seek(offset, whence)

    def _check(self, end: int) -> None:
        if end > self.limit + CHUNK:
            raise tarfile.ReadError(f"it unpacks to over {self.limit:,} bytes")


def zip_members(archive: zipfile.ZipFile, source: Path, status: os.stat_result) -> Iterator[Member]:
    for info in archive.infolist():
        if info.filename.endswith(("/", "\\")):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        defect = None if kind in (0, stat.S_IFREG) else "is a link or a special file"
        if info.flag_bits & 1:
            defect = "is encrypted"
        name = clean_name(info.filename, source)
        yield Member(source, name, info.file_size, defect, partial(archive.open, info), None, status, info.CRC)


def tar_members(archive: tarfile.TarFile, source: Path, status: os.stat_result) -> Iterator[Member]:
    for info in archive:
        if info.size < 0:  # would lead back to a header that was read already
            raise tarfile.ReadError(f"a size of {info.size} bytes")
        if not info.isdir():
            defect = None if info.isfile() else "is a link or a special file"
            name = clean_name(info.name, source)
            yield Member(source, name, info.size, defect, partial(_extracted, archive, info), None, status)
    # tarfile takes a damaged header for the end; the true end is a block of zeros.
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise tarfile.ReadError("the next header is damaged or missing")
    while archive.fileobj.read(CHUNK):  # up to the checksum of a compressed stream
        pass


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def _extracted(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"{info.name} is no file")
    return stream


def folder_members(folder: Path, skipped: Collection[Path] = ()) -> Iterator[Member]:
    """Files and links below `folder`, without those in `skipped`, which may lie inside."""
    root, skipped = folder.resolve(), {path.resolve() for path in skipped}

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")

    for parent, folders, files in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if Path(parent, name) not in skipped]
        linked = [name for name in folders if Path(parent, name).is_symlink()]
        for path in (Path(parent, name) for name in files + linked):
            real = path.resolve() if path.is_symlink() else path
            defect: str | None
            if not real.is_relative_to(root):
                defect = f"is a link out of {folder}"
            else:
                defect = None if real.is_file() else "is a broken link, a link to a folder or a special file"
            status = None if defect else real.stat()
            name = path.relative_to(root).as_posix()
            size = status.st_size if status else 0
            yield Member(folder, name, size, defect, partial(_opened, real), real, status)


def clean_name(name: str, source: Path) -> str:
    """`name` as a normalised POSIX path; `DataError` if it leads out of the archive or is too long for a file."""
    # Some Windows tools write backslashes.
    path = PurePosixPath(name.replace("\\", "/"))
    if PureWindowsPath(name).anchor or ".." in path.parts or not path.parts or "\0" in name:
        raise DataError(f"{source}: member {name[:MAX_NAME]!r} leads out of the archive, which is not safe to unpack")
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in path.parts]
    if max(sizes) > MAX_PART or sum(sizes) + len(sizes) > MAX_NAME:
        raise DataError(
            f"{source}: the name of member {name[:MAX_PART]!r}... is too long; allowed are {MAX_PART} bytes a part, "
            f"{MAX_NAME} in all"
        )
    return str(path)


def is_litter(name: str) -> bool:
    """Whether macOS left this file behind."""
    return any(part in ("__MACOSX", ".DS_Store") or part.startswith("._") for part in PurePosixPath(name).parts)


def size_limit(source: Path) -> int:
    """To how many bytes an archive may unpack."""
    return max(MAX_RATIO * source.stat().st_size, RATIO_FLOOR)


def bounded(members: Iterable[Member], source: Path) -> Iterator[Member]:
    """`members`, stopped by a `DataError` before they outgrow the archive beyond reason."""
    limit, total = size_limit(source), 0
    for count, member in enumerate(members, start=1):
        total += member.size
        if total > limit:
            raise DataError(f"{member} unpacks the archive to over {MAX_RATIO} times its size, which no dataset does")
        if count > MAX_MEMBERS:
            raise DataError(f"{source}: holds over {MAX_MEMBERS:,} files, which no dataset does")
        yield member


def read_chunks(member: Member) -> Iterator[bytes]:
    """The content of `member`; `DataError` naming it if it is damaged, or not as long as stated."""
    size = 0
    try:
        with member.open() as stream:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                yield chunk
    except READ_ERRORS as error:
        raise DamagedError(f"{member} is damaged or truncated ({first_line(error)}); get the source again") from None
    if size != member.size:
        raise DamagedError(f"{member} has {size} bytes, expected {member.size}; get the source again")


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
