"""One scene out of a local archive or folder, wherever it is nested there, with a manifest of what was taken."""

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mipnerf.config import Verify
from mipnerf.datasets.fetching.archives import ACCEPTED, Member, list_members, read_chunks
from mipnerf.datasets.fetching.checksums import departure, read_checksums
from mipnerf.datasets.fetching.origins import describe_origin, stats_of_members, write_origin
from mipnerf.datasets.layouts import MANIFEST, check_members, find_scene, refuse_to_replace, scene_members
from mipnerf.errors import DataError, WriteError
from mipnerf.files import atomic_folder, write_text

log = logging.getLogger(__name__)
MAX_TOTAL_BYTES = 64 << 30


def fetch_scene(
    source: Path,
    scene: str,
    target: Path,
    checksums: Path | None = None,
    verify: Verify = "strict",
    origin: str | None = None,
    are_photos: bool = False,
) -> None:
    """Take the scene `scene` out of `source`, an archive or folder, and put it in the folder `target`.

    The scene is the folder of that name with one of `SCENE_MARKERS`, at any depth; or the top of `source`, if that is
    the only scene there. Where `are_photos`, it is as `find_photos` says. `target` is replaced as a whole,
    manifest.json (files with size, SHA-256 and CRC-32) last. Files of a source folder are hard links where the file
    system allows. Beside them, .origin.json records where they come from, and is no part of what they are:
    `manifest.json` is the same for the same files.

    `checksums` is a file of the official sums. Files that depart from them are refused if `verify` is strict, and else
    taken, with a warning unless it is off; the manifest says in either case whether they are `verified` (null without
    `checksums`). `origin` stands for the source, which will not stay, in the record and in what is said of its sums.

    Raises `DataError`, with `target` as it was before, if the source is missing or damaged, has no such scene or
    several, holds links or names that lead elsewhere, or grows suspiciously when unpacked; `WriteError` if the scene
    does not fit on the disk or cannot be written.
    """
    check_places(source, target)
    official = read_checksums(checksums) if checksums else None
    with ExitStack() as stack:
        members = list_members(source, stack, skipped=[target])
        folder = find_scene(members, scene, source, are_photos)
        chosen = scene_members(members, folder)
        check_members(chosen)
        check_space(sum(member.size for member in chosen.values()), target)
        try:
            with atomic_folder(target) as temporary:
                record = describe_origin(source, folder, stats_of_members(source, folder, chosen), temporary)
                progress = tqdm(chosen.items(), desc=f"fetch {scene}", disable=None)
                files = [store(member, name, temporary) for name, member in progress]
                files.sort(key=lambda file: file["path"])
                sums = {file["path"]: file["sha256"] for file in files}
                verified = check_sums(sums, official, verify, origin or str(source))
                write_origin(temporary, record if origin is None else record | {"source": origin, "files": {}})
                manifest = {"scene": scene, "verified": verified, "files": files}
                write_text(temporary / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        except OSError as error:
            raise WriteError(f"{target}: cannot be written ({error.strerror or error})") from None


def check_places(source: Path, target: Path) -> None:
    """`DataError` if there is no source, or if replacing `target` would delete the source or files of another kind."""
    if not (os.path.isfile(source) or os.path.isdir(source)):  # false also for impossible names
        raise DataError(f"{source} does not exist; put the dataset there or name another place: {ACCEPTED}")
    if source.resolve().is_relative_to(target.resolve()):
        raise DataError(f"{target} would be replaced, but the source {source} lies in it; name another output folder")
    refuse_to_replace(target)


def check_sums(sums: Mapping[str, str], official: Mapping[str, str] | None, verify: Verify, origin: str) -> bool | None:
    """Whether the files with these `sums` are the `official` ones; `DataError` if they are not, but `verify` is strict.

    None where nothing is official.
    """
    if official is None:
        return None
    problem = departure(sums, official)
    if problem and verify == "strict":
        raise DataError(f"{origin}: {problem}; get the official files, or accept these with `verify: warn`")
    if problem and verify == "warn":
        log.warning("%s: %s; they are taken, and the tables will say so", origin, problem)
    return problem is None


def check_space(size: int, target: Path) -> None:
    """`DataError` if `size` bytes are more than is allowed, `WriteError` if more than is free for `target`."""
    if size > MAX_TOTAL_BYTES:
        raise DataError(f"the scene unpacks to {size:,} bytes, allowed are {MAX_TOTAL_BYTES:,}")
    existing = next(parent for parent in target.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise WriteError(f"{existing}: {size:,} bytes are needed, {free:,} are free; make room or name another folder")


def store(member: Member, name: str, folder: Path) -> dict[str, Any]:
    """Put `member` at `folder / name` and return its entry of the manifest."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, crc, size = hashlib.sha256(), 0, 0
    with ExitStack() as stack:
        # A file of a folder is read for its sum only.
        linked = member.path is not None and link(member.path, path)
        stream = None if linked else stack.enter_context(path.open("xb"))
        for chunk in read_chunks(member):
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            size += len(chunk)
            if stream:
                stream.write(chunk)
    return {"path": name, "size": size, "sha256": digest.hexdigest(), "crc32": f"{crc:08x}"}


def link(source: Path, path: Path) -> bool:
    """Make `path` a hard link to `source`; False where the file system does not allow that."""
    try:
        os.link(source, path)
    except OSError:
        return False
    return True
