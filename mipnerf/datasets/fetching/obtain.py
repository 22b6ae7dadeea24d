"""One scene from the network: from the first of several places that has it whole and as it should be."""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from mipnerf.config import OperationConfig, Verify
from mipnerf.datasets.fetching.archives import DamagedError
from mipnerf.datasets.fetching.download import download
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.layouts import MANIFEST, refuse_to_replace
from mipnerf.errors import DataError, WriteError

log = logging.getLogger(__name__)
SCENE = "{scene}"


def obtain_scene(
    urls: Sequence[str],
    scene: str,
    target: Path,
    downloads: Path,
    operation: OperationConfig,
    checksums: Path | None = None,
    verify: Verify = "strict",
    are_photos: bool = False,
) -> None:
    """Put the scene `scene` of the first of `urls` that gives it in the folder `target`, as `fetch_scene` does.

    An archive is downloaded to the folder `downloads`. One whose URL has `{scene}` in it is removed after unpacking,
    unless `operation.keep_downloads`; others hold more scenes, and stay. Raises `DataError` that tells what each place
    said if none gives the scene, and `WriteError`, at once, where it cannot be put.
    """
    refuse_to_replace(target)
    problems = []
    for template in urls:
        url = template.replace(SCENE, scene)
        archive = archive_name(downloads, url)
        is_kept = operation.keep_downloads or SCENE not in template
        try:
            with only_one(archive, target / MANIFEST) as is_there:
                if not is_there:
                    take(url, scene, target, archive, operation, checksums, verify, is_kept, are_photos)
            return
        except WriteError:
            raise
        except DataError as error:
            log.warning("%s: %s", url, error)
            problems.append(f"{for_browser(url)}: {str(error).removeprefix(f'{url}: ')}")
    places = "".join(f"\n  {problem}" for problem in problems)
    raise DataError(
        f"{scene} could not be had from {'any place' if urls else 'anywhere, as no place is configured'}:{places}\n"
        "  To go on, get such an archive by other means, in a browser or on another machine, and say where it is under "
        "`sources` in the configuration, or give it to workflow_scripts/fetch.py --source"
    )


def take(
    url: str,
    scene: str,
    target: Path,
    archive: Path,
    operation: OperationConfig,
    checksums: Path | None,
    verify: Verify,
    is_kept: bool,
    are_photos: bool,
) -> None:
    """Download and unpack; the archive goes unless `is_kept`, and in any case if it proves damaged."""
    download(url, archive, operation)
    try:
        fetch_scene(archive, scene, target, checksums, verify, url, are_photos)
    except WriteError:  # may fit another time
        raise
    except DataError as error:
        if not is_kept or isinstance(error, DamagedError):
            archive.unlink(missing_ok=True)
        raise
    if not is_kept:
        archive.unlink(missing_ok=True)


def archive_name(downloads: Path, url: str) -> Path:
    """Where the archive of `url` is put: a name that a person knows again, and that no other URL has."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    parts = urlsplit(url)
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", parts.path.rpartition("/")[2] or parts.netloc)
    return downloads / f"{digest}_{stem[-100:]}"


@contextmanager
def only_one(archive: Path, manifest: Path) -> Iterator[bool]:
    """Hold the lock of `archive`; yields whether another process has made the scene while this one waited for it."""
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(archive.with_name(f".{archive.name}.lock"))
        before = age_of(manifest)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            log.info("%s is being downloaded by another process; waiting for it", archive)
            lock.acquire()
    except OSError as error:
        raise WriteError(f"{archive}: cannot be written ({error.strerror or error})") from None
    try:
        yield age_of(manifest) not in (None, before)
    finally:
        lock.release()


def age_of(path: Path) -> int | None:
    """When `path` was written, in nanoseconds; None if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else None


def for_browser(url: str) -> str:
    """`url` as it can be opened by hand."""
    return re.sub(r"^gdrive://(.*)", r"https://drive.google.com/file/d/\1/view", url)
