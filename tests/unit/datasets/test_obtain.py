"""One scene from several places: in order, verified, and one message when none has it."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from download_server import Reply, Server, serving
from scene_files import tree, write_scene

from mipnerf.config import OperationConfig
from mipnerf.datasets.blender import load_scene
from mipnerf.datasets.fetching.obtain import obtain_scene
from mipnerf.datasets.fetching.origins import compare_with_source
from mipnerf.errors import DataError, WriteError

QUICK = OperationConfig(download_attempts=2, download_backoff=0.01, download_timeout=20.0)


def packed(folder: Path, *names: str) -> bytes:
    """The scenes `names` of `folder` in a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            for path in sorted((folder / name).rglob("*")):
                archive.write(path, Path("nerf_synthetic") / path.relative_to(folder))
    return stream.getvalue()


@pytest.fixture
def scenes(tmp_path) -> Path:
    for scene in ("lego", "ship"):
        write_scene(tmp_path / "scenes" / scene)
    return tmp_path / "scenes"


@pytest.fixture
def server(scenes):
    with serving() as server:
        server.replies["/lego.zip"] = [Reply(packed(scenes, "lego"))]
        server.replies["/all.zip"] = [Reply(packed(scenes, "lego", "ship"))]
        yield server


@pytest.fixture
def obtain(tmp_path, server: Server):
    """A function: paths of the server, scene -> its manifest and source, from data/SCENE."""

    def call(*paths: str, scene: str = "lego", operation: OperationConfig = QUICK, **options) -> dict:
        urls = [path if "://" in path else server.url(path) for path in paths]
        target = tmp_path / "data" / scene
        obtain_scene(urls, scene, target, tmp_path / "downloads", operation, **options)
        origin = json.loads((target / ".origin.json").read_text())
        return json.loads((target / "manifest.json").read_text()) | {"source": origin["source"]}

    return call


def downloads(tmp_path: Path) -> list[str]:
    """What is kept, without the digests of the URLs and the locks."""
    return sorted(path.name[9:] for path in (tmp_path / "downloads").iterdir() if path.suffix != ".lock")


def test_an_archive_of_one_scene_is_unpacked_and_removed(obtain, server, tmp_path):
    manifest = obtain("/{scene}.zip")
    assert manifest["source"] == server.url("/lego.zip")
    assert load_scene(tmp_path / "data" / "lego", "train").num_views == 3
    assert downloads(tmp_path) == []


def test_it_is_kept_if_that_is_asked_for(obtain, server, tmp_path):
    kept = QUICK.model_copy(update={"keep_downloads": True})
    for _ in range(2):
        obtain("/{scene}.zip", operation=kept)
    assert downloads(tmp_path) == ["lego.zip"]
    assert len(server.requests) == 1


def test_an_archive_of_many_scenes_is_downloaded_once_for_all(obtain, server, tmp_path):
    for scene in ("lego", "ship"):
        obtain("/all.zip", scene=scene)
        assert load_scene(tmp_path / "data" / scene, "test").num_views == 2
    assert downloads(tmp_path) == ["all.zip"]
    # One that lacks a scene is of use for the others.
    with pytest.raises(DataError, match="no scene named 'drums'"):
        obtain("/all.zip", scene="drums")
    assert downloads(tmp_path) == ["all.zip"]
    assert len(server.requests) == 1


def test_the_next_place_is_asked_where_one_does_not_have_it(obtain, server, scenes):
    page = Reply(b"<html>", headers={"Content-Type": "text/html"})
    server.replies |= {
        "/page": [page],
        "/ship": [Reply(packed(scenes, "ship"))],
        "/broken": [Reply(packed(scenes, "lego")[:-40])],
    }
    manifest = obtain("/missing/{scene}.zip", "/page", "/ship", "/broken", "/{scene}.zip")
    assert manifest["source"] == server.url("/lego.zip")


def test_when_no_place_has_it_one_message_tells_what_each_said(obtain, server, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gdown", None)
    server.replies["/busy.zip"] = [Reply(status=503)]
    with pytest.raises(DataError) as caught:
        obtain("/mirror/{scene}.zip", "gdrive://18Jxhp", "/busy.zip", "/all.zip", scene="drums")
    first, *places, last = str(caught.value).splitlines()
    assert first == "drums could not be had from any place:"
    assert places[0] == f"  {server.url('/mirror/drums.zip')}: 404 Not Found"
    assert places[1].startswith("  https://drive.google.com/file/d/18Jxhp/view: Google Drive needs gdown")
    assert "503 Service Unavailable" in places[2]
    assert "no scene named 'drums'" in places[3]
    assert len(places) == 4
    assert "`sources` in the configuration" in last
    assert not (tmp_path / "data").exists()
    with pytest.raises(DataError, match="no place is configured"):
        obtain()


def sums_of(manifest: dict, path: Path) -> Path:
    path.write_text("".join(f"{file['sha256']}  {file['path']}\n" for file in manifest["files"]))
    return path


def test_a_place_with_other_files_is_passed_over(obtain, server, scenes, tmp_path):
    official = sums_of(obtain("/all.zip"), tmp_path / "lego.sha256")
    (scenes / "lego" / "train" / "r_1.png").write_bytes(b"another")
    server.replies["/other/lego.zip"] = [Reply(packed(scenes, "lego"))]
    manifest = obtain("/other/{scene}.zip", "/all.zip", checksums=official)
    assert (manifest["source"], manifest["verified"]) == (server.url("/all.zip"), True)
    before = tree(tmp_path / "data")
    with pytest.raises(
        DataError, match=r"other/lego\.zip: 1 of 9 files differ from the official ones, first train/r_1"
    ):
        obtain("/other/{scene}.zip", checksums=official)
    assert tree(tmp_path / "data") == before
    assert obtain("/other/{scene}.zip", checksums=official, verify="warn")["verified"] is False
    assert obtain("/all.zip")["verified"] is None


def test_an_archive_that_proves_bad_is_downloaded_anew(obtain, server, scenes):
    whole = packed(scenes, "lego")
    damaged = bytearray(whole)
    damaged[whole.index(b"train/r_0.png") + 100] ^= 1
    server.replies["/lego.zip"] = [Reply(bytes(damaged)), Reply(whole)]
    with pytest.raises(DataError, match="is damaged or truncated"):
        obtain("/lego.zip")
    obtain("/lego.zip")
    assert server.ranges("/lego.zip") == [None, None]


def test_two_versions_of_one_size_are_never_mixed(obtain, server, scenes, tmp_path):
    """Nothing but the sums of the archive's members can tell, as this server sends no ETag and no date."""
    first = packed(scenes, "lego")
    second = bytearray(first)
    for name in ("train/r_0.png", "train/r_1.png"):
        start = first.index(name.encode()) + len(name)
        second[start + 50 : start + 200] = bytes(150)
    server.replies["/lego.zip"] = [
        Reply(bytes(second), etag=None, cut=len(first) // 2),
        Reply(first, etag=None),
    ]
    with pytest.raises(DataError, match="is damaged or truncated"):
        obtain("/lego.zip")
    assert downloads(tmp_path) == []
    obtain("/lego.zip")


def test_a_local_archive_of_what_was_downloaded_is_the_same(obtain, scenes, tmp_path):
    obtain("/{scene}.zip")
    fetched = tmp_path / "data" / "lego"
    for content, state in ((packed(scenes, "lego", "ship"), "same"), (packed(scenes, "ship"), "unreadable")):
        (tmp_path / "local.zip").write_bytes(content)
        assert compare_with_source(tmp_path / "local.zip", {"lego": fetched})["lego"].state == state
    (scenes / "lego" / "train" / "r_1.png").write_bytes(b"another")
    assert compare_with_source(scenes, {"lego": fetched})["lego"].changed == ("train/r_1.png",)


def test_no_room_ends_the_search_and_keeps_the_archive(obtain, server, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(WriteError, match="cannot be written"):
        obtain("/all.zip", "/{scene}.zip")
    assert server.ranges("/lego.zip") == []
    assert downloads(tmp_path) == ["all.zip"]


def test_a_folder_of_something_else_is_refused_before_any_download(obtain, server, tmp_path):
    (tmp_path / "data" / "lego").mkdir(parents=True)
    (tmp_path / "data" / "lego" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds no scene"):
        obtain("/all.zip")
    assert not server.requests
