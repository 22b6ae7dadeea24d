"""Whether what was fetched is what its source holds: by what `stat` says where nothing was touched, else by content.

Free of numpy: parsing the workflow asks here.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Container, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mipnerf.datasets.fetching.archives import Member, list_members, read_chunks
from mipnerf.datasets.layouts import MANIFEST, ORIGIN, check_members, find_scene, is_read, name_below, scene_members
from mipnerf.errors import DataError
from mipnerf.files import write_text

log = logging.getLogger(__name__)
SHOWN_NAMES = 3
TICK = 1_000_000  # nanoseconds by which a file is surely newer, whatever compares their ages
# What a file raises that is missing, damaged, or of another form than ours.
NO_RECORD = (OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Comparison:
    """What was fetched of a scene, beside what its source holds now; the files are those that a layout may read."""

    state: Literal["missing", "same", "changed", "vanished", "unreadable"]
    source: Path
    fetched: Path
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    problem: str = ""  # why there is nothing to compare with

    def describe(self) -> str:
        """One message for the user; empty where all is well."""
        if self.state == "changed":
            files = "file" if len(self.added) == 1 else "files"
            return (
                f"{self.fetched} is taken anew from {self.source}: {len(self.added)} {files} added{shown(self.added)}, "
                f"{len(self.changed)} changed{shown(self.changed)}, {len(self.removed)} removed{shown(self.removed)}"
            )
        if self.problem:
            return (
                f"{self.problem}; {self.fetched}{fetching_date(self.fetched)} is used as it is: put the source right "
                "where it may have changed, or name its new place under `sources`"
            )
        return ""


def compare_with_source(source: Path, scenes: Mapping[str, Path], photos: Container[str] = ()) -> dict[str, Comparison]:
    """Compare what was fetched of `scenes` (name to folder) with `source`, an archive or folder.

    Those of `photos` need no cameras.

    missing: nothing was fetched. same: the content is, whatever its place and age. changed: it is another. vanished:
    there is no such source. unreadable: it is damaged, or has no scene of the name, or several. No file is read where
    place, sizes and times are as recorded; the record is renewed where only the content is as it was. Never raises.
    """
    results, unsure = {}, {}
    for scene, fetched in scenes.items():
        if not os.path.exists(fetched / MANIFEST):
            results[scene] = Comparison("missing", source, fetched)
        elif not (os.path.isfile(source) or os.path.isdir(source)):  # false also for impossible names
            results[scene] = Comparison("vanished", source, fetched, problem=f"{source} does not exist")
        elif is_untouched(source, fetched):
            results[scene] = Comparison("same", source, fetched)
        else:
            unsure[scene] = fetched
    return results | compare_contents(source, unsure, photos)


def wanted_file(fetched: Path) -> Path:
    """Where `want` says what has changed of the scene in the folder `fetched`: beside it."""
    return fetched.with_name(f".{fetched.name}.wanted.json")


def want(comparison: Comparison) -> Path | None:
    """`wanted_file`, saying what has changed, and newer than the manifest of what was fetched.

    Written only where it is older or says something else. None, with a warning, where it cannot be written.
    """
    fetched, path = comparison.fetched, wanted_file(comparison.fetched)
    names = {kind: getattr(comparison, kind) for kind in ("added", "changed", "removed")}
    try:
        fetched_at = os.stat(fetched / MANIFEST).st_mtime_ns
        # Snakemake passes over a file that says what it said before: no two changes say the same.
        content = {"source": str(comparison.source), "fetched_at": fetched_at, **names}
        text, age = json.dumps(content, indent=2) + "\n", fetched_at + TICK
        if not (path.exists() and path.stat().st_mtime_ns >= age and path.read_text(encoding="utf-8") == text):
            write_text(path, text)
            if path.stat().st_mtime_ns < age:  # the manifest is of a clock that is ahead
                os.utime(path, ns=(age, age))
    except OSError as error:
        log.warning("%s cannot be taken anew: %s cannot be written (%s)", fetched, path, error.strerror or error)
        return None
    return path


def describe_origin(
    source: Path, folder: PurePosixPath, stats: Mapping[str, os.stat_result], beside: Path
) -> dict[str, Any]:
    """Where the scene in `folder` of `source` lies, and size, time and inode of its files, or of the archive.

    Inodes count on the file system of `beside` only: there, a file that was fetched is the same as that of the source,
    and keeps what is written into it when another takes its place in the source.
    """
    device = os.stat(beside).st_dev
    return {
        "source": str(source.resolve()),
        "folder": str(folder),
        "files": {
            name: [stat.st_size, stat.st_mtime_ns, stat.st_ino if stat.st_dev == device else 0]
            for name, stat in stats.items()
        },
    }


def stats_of_members(source: Path, folder: PurePosixPath, members: Mapping[str, Member]) -> dict[str, os.stat_result]:
    """The argument of `describe_origin` for the `members` of a scene that were listed: from before any is read."""
    if source.is_file():
        stats = next(iter(members.values())).stat
        return {} if stats is None else {source.name: stats}
    names = {name_in_source(member, folder): member for member in members.values()}
    return {name: member.stat for name, member in names.items() if member.stat and is_read(name)}


def stats_of_files(source: Path, folder: PurePosixPath, skipped: Path) -> dict[str, os.stat_result]:
    """The same of what is there now: ten times faster, as no archive is opened and no other scene's folder listed."""
    if source.is_file():
        return {source.name: os.stat(source)}
    if (video := source / folder).is_file():
        return {folder.name: os.stat(video)}
    root, left_out = str(source.resolve() / folder), str(skipped.resolve())
    stats: dict[str, os.stat_result] = {}
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if os.path.join(parent, name) != left_out]
        prefix = Path(parent).relative_to(root).as_posix() + "/" if parent != root else ""
        read = [name for name in names if is_read(prefix + name)]
        stats |= {prefix + name: os.stat(os.path.join(parent, name)) for name in read}
    return stats


def name_in_source(member: Member, folder: PurePosixPath) -> str:
    return str(name_below(member.name, folder))


def is_untouched(source: Path, fetched: Path) -> bool:
    """Whether place, sizes and times are as recorded."""
    try:
        record = json.loads((fetched / ORIGIN).read_text(encoding="utf-8"))
        folder = PurePosixPath(record["folder"])
        return record == describe_origin(source, folder, stats_of_files(source, folder, fetched), fetched)
    except NO_RECORD:
        return False


def compare_contents(source: Path, scenes: Mapping[str, Path], photos: Container[str]) -> dict[str, Comparison]:
    """Each of `scenes`, after one look at what `source` holds."""
    if not scenes:
        return {}
    log.info("%s is not as it was when fetched from: looking whether its content is", source)

    def unreadable(fetched: Path, error: Exception) -> Comparison:
        return Comparison("unreadable", source, fetched, problem=str(error))

    results = {}
    with ExitStack() as stack:
        try:
            members = list_members(source, stack, skipped=list(scenes.values()))
        except (DataError, OSError) as error:
            return {scene: unreadable(fetched, error) for scene, fetched in scenes.items()}
        for scene, fetched in scenes.items():
            try:
                results[scene] = compare_content(source, members, scene, fetched, scene in photos)
            except (DataError, OSError) as error:
                results[scene] = unreadable(fetched, error)
    return results


def compare_content(source: Path, members: list[Member], scene: str, fetched: Path, are_photos: bool) -> Comparison:
    """Compare what was fetched with the `members` of `source`; raises as fetching it would."""
    folder = find_scene(members, scene, source, are_photos)
    chosen = scene_members(members, folder)
    current = {name: member for name, member in chosen.items() if is_read(name)}
    check_members(current)
    origin = describe_origin(source, folder, stats_of_members(source, folder, current), fetched)
    recorded, known = recorded_files(fetched), manifest_files(fetched)

    def is_recorded(member: Member) -> bool:
        name = name_in_source(member, folder)
        return name in recorded and recorded[name] == origin["files"].get(name)

    both = sorted(current.keys() & known.keys())
    changed = [n for n in both if not is_recorded(current[n]) and differs(current[n], known[n], fetched / n)]
    added, removed = sorted(current.keys() - known.keys()), sorted(known.keys() - current.keys())
    if added or changed or removed:
        check_members(chosen)
        return Comparison("changed", source, fetched, tuple(added), tuple(changed), tuple(removed))
    try:
        write_origin(fetched, origin)
    except OSError:  # data that may only be read are compared again the next time
        log.debug("%s cannot be written", fetched / ORIGIN)
    return Comparison("same", source, fetched)


def write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    write_text(folder / ORIGIN, json.dumps(origin) + "\n")


def recorded_files(fetched: Path) -> dict[str, list[int]]:
    """Size, time and inode of each file when it was last found to be what was fetched."""
    try:
        return dict(json.loads((fetched / ORIGIN).read_text(encoding="utf-8"))["files"])
    except NO_RECORD:
        return {}


def manifest_files(fetched: Path) -> dict[str, dict[str, Any]]:
    """The manifest's entry of each file that a layout may read; nothing where it is damaged."""
    try:
        files = json.loads((fetched / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {file["path"]: file for file in files if is_read(file["path"]) and {"size", "sha256"} <= file.keys()}
    except NO_RECORD:
        return {}


def differs(member: Member, file: Mapping[str, Any], fetched: Path) -> bool:
    """Whether `member` is another than the `file` of the manifest, or the latter no more what was `fetched`."""
    if member.size != file["size"]:
        return True
    if member.crc32 is not None and "crc32" in file:
        return f"{member.crc32:08x}" != file["crc32"]
    digest = hashlib.sha256()
    for chunk in read_chunks(member):
        digest.update(chunk)
    return digest.hexdigest() != file["sha256"] or (
        member.path is not None and not is_intact(fetched, member.path, digest.digest())
    )


def is_intact(fetched: Path, source: Path, digest: bytes) -> bool:
    """Whether `fetched` is `source`, or was not written to while it was: both have been one file, perhaps."""
    try:
        if os.path.samefile(fetched, source):
            return True
        with fetched.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest() == digest
    except OSError:
        return False


def shown(names: tuple[str, ...]) -> str:
    """The first of `names`, in brackets."""
    more = ["..."] if len(names) > SHOWN_NAMES else []
    return f" ({', '.join([*names[:SHOWN_NAMES], *more])})" if names else ""


def fetching_date(fetched: Path) -> str:
    try:
        return time.strftime(", fetched on %Y-%m-%d at %H:%M,", time.localtime(os.stat(fetched / MANIFEST).st_mtime))
    except OSError:  # another process is just replacing it
        return ""
