"""An archive from the network: resumed, tried again, and under its name only once it is whole and can be opened.

`pooch`, the usual choice, begins anew after every interruption, waits for a silent server for ever and does not look at
the free space; so this is `requests`, with what is needed around it. Google Drive is left to `gdown`.
"""

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from mipnerf import __version__
from mipnerf.config import OperationConfig
from mipnerf.datasets.fetching.archives import first_line, list_members
from mipnerf.errors import DataError, WriteError
from mipnerf.files import write_text

log = logging.getLogger(__name__)
DRIVE_URL = "https://drive.google.com/uc?id="
CHUNK = 1 << 16
MAX_BYTES = 64 << 30
MAX_REDIRECTS = 10
CONNECT_SECONDS = 15.0
MAX_WAIT = 600.0  # a server that asks for more is given up
MIN_SPEED = 1000  # bytes per second; less is as good as silence
ENOUGH = 1 << 20  # an attempt that brings so much more counts as a success
LOG_SECONDS = 30.0
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
# Nothing that another attempt could mend.
PERMANENT = (requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Setback(Exception):
    """An attempt failed, another may not; `wait` is for how many seconds the server asks."""

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


@dataclass
class Part:
    """What has arrived of an archive, beside a note of what it is a part of."""

    path: Path
    total: int | None = None  # bytes of the whole
    validator: str | None = None  # changes when the archive does: ETag or Last-Modified

    @classmethod
    def beside(cls, archive: Path) -> "Part":
        """The part that an earlier attempt has left; an empty one where that cannot be gone on with."""
        part = cls(archive.with_name(f"{archive.name}.part"))
        try:
            note = json.loads(part.note.read_text(encoding="utf-8"))
            part.total, part.validator = note["total"], note["validator"]
        except (OSError, ValueError, LookupError, TypeError):
            part.begin(None, None)
        return part

    @property
    def note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, total: int | None, validator: str | None) -> None:
        """Throw away what there is, and note what is to come."""
        self.path.unlink(missing_ok=True)  # first: old bytes must not meet a new note
        self.total, self.validator = total, validator
        write_text(self.note, json.dumps({key: value for key, value in asdict(self).items() if key != "path"}))

    def finish(self, archive: Path) -> None:
        """Give it the name of the archive; `DataError`, with nothing left of it, if it is none."""
        with self.path.open("rb") as stream:
            is_page = stream.read(CHUNK).lstrip().startswith(b"<")
            os.fsync(stream.fileno())
        try:
            if is_page:
                raise DataError("a web page came instead of an archive")
            with ExitStack() as stack:
                list_members(self.path, stack)
        except DataError:
            self.discard()
            raise
        os.replace(self.path, archive)
        self.discard()

    def discard(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(url: str, archive: Path, operation: OperationConfig) -> None:
    """Put what is at `url` (http, https, gdrive) at `archive`, unless it is there; go on where an attempt has stopped.

    Raises `DataError`, which does not name the URL, if that fails `operation.download_attempts` times in a row, if it
    cannot help to try again, or if what comes is no archive; `WriteError` if there is no room or no permission. The
    caller sees to it that no other process does the same.
    """
    if archive.exists():
        return
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        part = Part.beside(archive)
        try:
            if url.startswith("gdrive://"):
                from_drive(url.removeprefix("gdrive://"), part, operation)
            else:
                persist(url, part, operation)
            part.finish(archive)
        finally:
            if not part.size:
                part.discard()
    except requests.RequestException as error:  # is an OSError, too
        raise DataError(first_line(error)) from None
    except OSError as error:
        raise WriteError(
            f"{error.filename or archive}: cannot be written ({error.strerror or error}); what has arrived is kept: "
            "make room or get permission, and give the same command again"
        ) from None


def persist(url: str, part: Part, operation: OperationConfig) -> None:
    """Attempt after attempt, until `part` is whole."""
    failures, longest = 0, part.size
    while True:
        try:
            return receive(url, part, operation.download_timeout)
        except Setback as setback:
            failures = 1 if part.size >= longest + ENOUGH else failures + 1
            longest = max(longest, part.size)
            wait = operation.download_backoff * 2 ** (failures - 1) if setback.wait is None else setback.wait
            if failures >= operation.download_attempts:
                raise DataError(f"{setback}, at the last of {failures} attempts") from None
            if wait > MAX_WAIT:
                raise DataError(f"{setback}, and another attempt is welcome only in {wait:,.0f} s") from None
            log.warning("%s: %s; next attempt in %.0f s", url, setback, wait)
            time.sleep(wait)


def receive(url: str, part: Part, timeout: float) -> None:
    """One attempt to get the rest of `part`; `Setback` if that was not all."""
    if part.total and part.size == part.total:  # an earlier process was stopped just then
        return
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        headers = {"User-Agent": f"mipnerf-suite/{__version__}", "Accept-Encoding": "identity", **range_header(part)}
        try:
            response = session.get(url, headers=headers, stream=True, timeout=(min(timeout, CONNECT_SECONDS), timeout))
        except PERMANENT as error:
            raise DataError(f"it cannot be followed ({reason_of(error)})") from None
        except NETWORK_ERRORS as error:
            raise Setback(f"no answer ({reason_of(error)})") from None
        with response:
            check_answer(response, part)
            log.info("downloading %s%s", url, f" from byte {part.size:,} on" if part.size else "")
            with part.path.open("ab") as stream:
                for chunk in watched(incoming(response), part, timeout):
                    stream.write(chunk)
    if part.size > (part.total or MAX_BYTES):
        part.discard()
        raise DataError("more came than was announced")
    if part.size < (part.total or 1):
        raise Setback(f"cut off after {part.size:,}{f' of {part.total:,}' if part.total else ''} bytes")


def range_header(part: Part) -> dict[str, str]:
    """The headers that ask for what is missing, on condition that the archive is the same."""
    if not part.size or not (part.total or part.validator):
        return {}
    condition = {"If-Range": part.validator} if part.validator else {}
    return {"Range": f"bytes={part.size}-", **condition}


def check_answer(response: requests.Response, part: Part) -> None:
    """Make `part` ready for the body of `response`; else a `Setback`, or a `DataError` where there is no hope."""
    status, headers = response.status_code, response.headers
    if status in TRANSIENT:
        raise Setback(f"{status} {response.reason}", wait=retry_after(headers.get("Retry-After")))
    if status == 206 and part.size:
        span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if not span.startswith(f"{part.size}-") or (part.total and total != str(part.total)):
            part.begin(None, None)
            raise Setback("the archive has changed on the server; it is downloaded anew")
    elif status == 416 and part.size:
        part.begin(None, None)
        raise Setback("the server does not have what is missing; the archive is downloaded anew")
    elif status != 200:
        raise DataError(f"{status} {response.reason}")
    if headers.get("Content-Type", "").startswith("text/html"):
        raise DataError("a web page came instead of an archive")
    if status == 200:
        tag, length = headers.get("ETag", "W/"), headers.get("Content-Length", "")
        validator = headers.get("Last-Modified") if tag.startswith("W/") else tag
        part.begin(int(length) if length.isdecimal() else None, validator)
    elif part.total is None and total.isdecimal():
        part.total = int(total)
    check_room(part.path.parent, (part.total or 0) - part.size)


def check_room(folder: Path, size: int) -> None:
    """`WriteError` if `size` more bytes do not fit in `folder`, `DataError` if no archive is so large."""
    if size > MAX_BYTES:
        raise DataError(f"it has {size:,} bytes, allowed are {MAX_BYTES:,}")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise WriteError(f"{folder}: {size:,} bytes are needed, {free:,} are free; make room, or set data_root")


def retry_after(text: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, be it a number or a date."""
    try:
        return urllib3.Retry().parse_retry_after(text) if text else None
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def incoming(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, encoded as it is: what stands between two interruptions is not lost."""
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
    except NETWORK_ERRORS as error:
        raise Setback(f"the connection broke ({reason_of(error)})") from None


def reason_of(error: Exception) -> str:
    """What happened, without the objects of the libraries that it passed through."""
    inner = error.args[0] if error.args else error
    return first_line(getattr(inner, "reason", None) or error).rpartition("): ")[2]


def watched(chunks: Iterator[bytes], part: Part, timeout: float) -> Iterator[bytes]:
    """`chunks`, with a bar in a terminal and lines in a log; `Setback` once they come too slowly."""
    size = part.size
    marked, logged, since_mark = time.monotonic(), time.monotonic(), 0
    with tqdm(total=part.total, initial=size, unit="B", unit_scale=True, desc="download", disable=None) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))
            size, since_mark, now = size + len(chunk), since_mark + len(chunk), time.monotonic()
            if size > (part.total or MAX_BYTES):
                return
            if now - marked > timeout:
                if since_mark < MIN_SPEED * timeout:
                    raise Setback(f"less than {MIN_SPEED / 1000:g} kB a second came")
                marked, since_mark = now, 0
            if bar.disable and now - logged > LOG_SECONDS:
                log.info("%s of %s bytes", f"{size:,}", f"{part.total:,}" if part.total else "an unknown number of")
                logged = now


def from_drive(file_id: str, part: Part, operation: OperationConfig) -> None:
    """A file of Google Drive as `part`; `gdown` knows its pages, resumes and tries again."""
    try:
        import gdown
    except ImportError:
        raise DataError("Google Drive needs gdown: pip install -e '.[drive]'") from None
    part.begin(None, None)
    try:
        gdown.download(
            url=DRIVE_URL + file_id,
            output=str(part.path),
            quiet=not sys.stderr.isatty(),
            use_cookies=False,
            resume=True,
            timeout=operation.download_timeout,
            retries=operation.download_attempts - 1,
            progress=lambda size, total: check_room(part.path.parent, (total or 0) - size),
        )
    except (gdown.exceptions.DownloadError, requests.RequestException) as error:
        raise DataError(" ".join(str(error).split())) from None
