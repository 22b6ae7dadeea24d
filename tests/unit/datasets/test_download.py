"""Downloads against a real server that stalls, cuts off, lies and changes its mind."""

import email.utils
import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest
from download_server import Reply, Server, serving

from mipnerf.config import OperationConfig
from mipnerf.datasets.fetching import download as module
from mipnerf.datasets.fetching.download import download
from mipnerf.errors import DataError, WriteError

QUICK = OperationConfig(download_attempts=3, download_backoff=0.01, download_timeout=20.0)
IMPATIENT = OperationConfig(download_attempts=20, download_backoff=0.0, download_timeout=0.5)
PATH = "/lego.zip"


def zip_bytes(seed: int = 0, size: int = 200_000) -> bytes:
    """A zip archive of one incompressible file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("lego/r_0.png", os.urandom(size))
        archive.comment = str(seed).encode()
    return stream.getvalue()


BODY, OTHER = zip_bytes(1), zip_bytes(2, 200_100)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def archive(tmp_path) -> Path:
    return tmp_path / "downloads" / "lego.zip"


def fails(server: Server, archive: Path, *replies: Reply, left: bool = False, kind: type = DataError) -> str:
    """The message of a download that fails; no archive may be there, and nothing else unless it is `left` for later."""
    server.replies[PATH] = list(replies)
    with pytest.raises(kind) as caught:
        download(server.url(PATH), archive, QUICK)
    assert not archive.exists()
    assert sorted(path.name for path in archive.parent.iterdir()) == (
        ["lego.zip.part", "lego.zip.part.json"] if left else []
    )
    return str(caught.value)


def test_an_archive_arrives_whole_once_and_alone(server, archive):
    server.replies[PATH] = [Reply(BODY)]
    for _ in range(2):
        download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert [path.name for path in archive.parent.iterdir()] == ["lego.zip"]
    assert server.ranges(PATH) == [None]


INTERRUPTED = {
    "cut off": (Reply(BODY, cut=70_000), "bytes=70000-"),
    "silent": (Reply(BODY, stall=70_000), "bytes=70000-"),
    "silent at once": (Reply(BODY, stall=0, delay=0.6), None),
    "too slow": (Reply(BODY, trickle=0.02), "bytes="),
    "announced too long": (Reply(BODY, cut=70_000, length=len(BODY) + 7), "bytes=70000-"),
}


@pytest.mark.parametrize(("reply", "asked"), INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_download_goes_on_where_it_stopped(server, archive, reply, asked):
    server.replies[PATH] = [reply, Reply(BODY)]
    download(server.url(PATH), archive, IMPATIENT if reply.cut is None else QUICK)
    assert archive.read_bytes() == BODY
    assert [path.name for path in archive.parent.iterdir()] == ["lego.zip"]
    first, second, *_ = server.ranges(PATH)
    assert first is None
    assert second is None if asked is None else second.startswith(asked)
    assert second is None or server.requests[1][1]["If-Range"] == '"1"'


def test_every_attempt_may_bring_a_bit(server, archive):
    server.replies[PATH] = [Reply(BODY, cut=60_000), Reply(BODY, cut=60_000), Reply(BODY)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert server.ranges(PATH) == [None, "bytes=60000-", "bytes=120000-"]


def test_a_server_that_knows_no_ranges_sends_all_again(server, archive):
    server.replies[PATH] = [Reply(BODY, cut=70_000), Reply(BODY, ranges=False)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert server.ranges(PATH) == [None, "bytes=70000-"]


@pytest.mark.parametrize("etag", ['"2"', None, 'W/"2"'])
def test_an_archive_that_changes_meanwhile_is_never_mixed(server, archive, etag):
    first = '"1"' if etag == '"2"' else etag  # without an ETag, its size tells
    server.replies[PATH] = [Reply(BODY, cut=70_000, etag=first), Reply(OTHER, etag=etag)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == OTHER


def test_a_shrunk_archive_is_downloaded_anew(server, archive):
    small = zip_bytes(3, 1000)
    server.replies[PATH] = [Reply(BODY, cut=70_000, etag=None), Reply(small, etag=None)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == small
    assert server.ranges(PATH) == [None, "bytes=70000-", None]


def test_what_an_earlier_process_left_is_gone_on_with(server, archive):
    fails(server, archive, Reply(BODY, cut=70_000), Reply(status=500), left=True)
    server.replies[PATH] = [Reply(BODY)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert server.ranges(PATH)[-1] == "bytes=70000-"


def test_what_an_earlier_process_had_whole_is_not_asked_for_again(server, archive):
    fails(server, archive, Reply(BODY, cut=70_000), Reply(status=500), left=True)
    archive.with_name("lego.zip.part").write_bytes(BODY)
    server.requests.clear()
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert not server.requests


@pytest.mark.parametrize("note", ["", "[]", '{"total": 5}', None])
def test_a_part_of_unknown_origin_is_thrown_away(server, archive, note):
    archive.parent.mkdir()
    archive.with_name("lego.zip.part").write_bytes(b"PK something else")
    if note is not None:
        archive.with_name("lego.zip.part.json").write_text(note)
    server.replies[PATH] = [Reply(BODY)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY
    assert server.ranges(PATH) == [None]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(server, archive, status):
    assert fails(server, archive, Reply(status=status)).startswith(f"{status} ")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_until_it_answers(server, archive, status):
    server.replies[PATH] = [Reply(status=status), Reply(status=status), Reply(BODY)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY


def test_a_server_that_stays_busy_is_given_up(server, archive):
    assert "503 Service Unavailable, at the last of 3 attempts" in fails(server, archive, Reply(status=503))
    assert len(server.requests) == 3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_is_given_the_time_that_it_asks_for(server, archive, form):
    wait = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    server.replies[PATH] = [Reply(status=503, headers={"Retry-After": wait}), Reply(BODY)]
    started = time.monotonic()
    download(server.url(PATH), archive, QUICK)
    assert time.monotonic() - started >= (1 if form == "seconds" else 0.9)


def test_a_server_that_asks_for_hours_is_given_up(server, archive):
    message = fails(server, archive, Reply(status=429, headers={"Retry-After": "7200"}))
    assert message == "429 Too Many Requests, and another attempt is welcome only in 7,200 s"
    assert len(server.requests) == 1


@pytest.mark.parametrize("wait", ["soon", "-5", "", "1e400"])
def test_a_senseless_wish_is_ignored(server, archive, wait):
    server.replies[PATH] = [Reply(status=503, headers={"Retry-After": wait}), Reply(BODY)]
    download(server.url(PATH), archive, QUICK)
    assert archive.read_bytes() == BODY


PAGE = b"\n <!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_is_no_archive(server, archive, kind):
    assert "a web page came instead" in fails(server, archive, Reply(PAGE, headers={"Content-Type": kind}))
    assert len(server.requests) == 1


def test_what_is_announced_too_short_is_not_taken(server, archive):
    message = fails(server, archive, Reply(BODY, length=100_000))
    assert "damaged, truncated or no archive" in message


def test_what_is_announced_too_long_is_not_taken_but_kept(server, archive):
    message = fails(server, archive, Reply(BODY, length=len(BODY) + 1, ranges=False), left=True)
    assert "at the last of 3 attempts" in message


def test_nothing_is_no_archive(server, archive):
    assert "cut off after 0 bytes" in fails(server, archive, Reply(b""))


def test_redirects_are_followed_but_not_for_ever(server, archive):
    server.replies["/there"] = [Reply(BODY)]
    server.replies["/here"] = [Reply(status=302, headers={"Location": "/there"})]
    download(server.url("/here"), archive, QUICK)
    assert archive.read_bytes() == BODY
    archive.unlink()
    assert "cannot be followed" in fails(server, archive, Reply(status=302, headers={"Location": PATH}))
    assert len(server.ranges(PATH)) == module.MAX_REDIRECTS + 1
    assert "cannot be followed" in fails(server, archive, Reply(status=302, headers={"Location": "file:///etc/passwd"}))


def test_a_machine_that_is_not_there_is_tried_and_given_up(archive):
    with serving() as server:
        url = server.url(PATH)
    with pytest.raises(DataError, match=r"^no answer \([^)]* refused\), at the last of 3 attempts$"):
        download(url, archive, QUICK)


def test_what_does_not_fit_on_the_disk_is_not_begun(server, archive, monkeypatch):
    assert "allowed are" in fails(server, archive, Reply(BODY, length=1 << 50))
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 62)
    total = shutil.disk_usage(archive.parent).total
    message = fails(server, archive, Reply(BODY, length=total), kind=WriteError)
    assert message.startswith(f"{archive.parent}: {total:,} bytes are needed")


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file.*: cannot be written"):
        download(server.url(PATH), tmp_path / "file" / "lego.zip", QUICK)


def test_without_gdown_google_drive_says_what_to_install(archive, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gdown", None)
    with pytest.raises(DataError, match=r"needs gdown: pip install -e '\.\[drive\]'"):
        download("gdrive://18Jxhp", archive, QUICK)


def test_gdown_downloads_resumes_and_is_checked_like_all_else(server, archive, monkeypatch):
    """Its own code on a server that is not Google's, whose pages it alone knows."""
    pytest.importorskip("gdown", reason="the extra `drive` is not installed: pip install -e '.[drive]'")
    monkeypatch.setattr(module, "DRIVE_URL", server.url("/uc?id="))
    body = zip_bytes(size=700_000)
    server.replies["/uc?id=abc"] = [Reply(body, cut=600_000), Reply(body)]
    download("gdrive://abc", archive, QUICK)
    assert archive.read_bytes() == body
    assert server.ranges("/uc?id=abc") == [None, f"bytes={1 << 19}-"]
    assert [path.name for path in archive.parent.iterdir()] == ["lego.zip"]
    server.replies["/uc?id=page"] = [Reply(PAGE)]
    for missing, message in (("none", "404"), ("page", "a web page came instead")):
        with pytest.raises(DataError, match=message):
            download(f"gdrive://{missing}", archive.with_name("other.zip"), QUICK)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="allowed are 1,000"):
        download("gdrive://abc", archive.with_name("other.zip"), QUICK)
    assert not archive.with_name("other.zip").exists()
