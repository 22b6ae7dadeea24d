import os
from pathlib import Path

import pytest
from scene_files import tree, write_scene

from mipnerf.config import DownloadConfig
from mipnerf.datasets.fetching.checksums import departure, read_checksums
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.fetching.sources import is_verified, local_source, source_urls
from mipnerf.errors import ConfigError, DataError

OFFICIAL = Path(__file__).parents[3] / "config" / "checksums" / "nerf_synthetic"
SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]


def test_every_scene_of_the_blender_dataset_has_its_sums():
    assert sorted(path.stem for path in OFFICIAL.iterdir()) == SCENES
    sums = {scene: read_checksums(OFFICIAL / f"{scene}.sha256") for scene in SCENES}
    assert sum(map(len, sums.values())) == 4855
    for names in sums.values():
        for split, views in (("train", 100), ("val", 100), ("test", 200)):
            assert f"transforms_{split}.json" in names
            assert {f"{split}/r_{i}.png" for i in range(views)} <= names.keys()
    # No scene has the images of another.
    assert len({digest for names in sums.values() for name, digest in names.items() if "/r_" in name}) > 3200


def test_a_copy_may_lack_maps_and_have_more_but_not_other_files():
    official = {"a.json": "1", "train/r_0.png": "2", "test/r_0_depth_0001.png": "3", "test/r_0_normal_0001.png": "4"}
    assert departure(official, official) is None
    assert departure({"a.json": "1", "train/r_0.png": "2"}, official) is None
    assert departure(official | {"README.txt": "9", "train/r_7.png": "9"}, official) is None
    assert departure({"a.json": "1"}, official) == "1 official files are missing, first train/r_0.png"
    wrong = departure(official | {"test/r_0_depth_0001.png": "5"}, official)
    assert wrong == "1 of 4 files differ from the official ones, first test/r_0_depth_0001.png (SHA-256 5, official 3)"
    assert departure({}, official).startswith("2 official files are missing, first a.json")


@pytest.mark.parametrize("text", ["", "abc  x.png\n", f"{'0' * 64}x.png", f"{'0' * 64}  \n", "\xff"])
def test_a_damaged_list_of_sums_is_refused(tmp_path, text):
    (tmp_path / "lego.sha256").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"lego\.sha256"):
        read_checksums(tmp_path / "lego.sha256")


@pytest.fixture
def scene(tmp_path) -> Path:
    return write_scene(tmp_path / "in" / "lego")


@pytest.fixture
def sums(scene, tmp_path) -> Path:
    os.system(f"cd {scene} && find . -type f -printf '%P\\0' | xargs -0 sha256sum > {tmp_path}/lego.sha256")
    return tmp_path / "lego.sha256"


def test_sums_as_sha256sum_writes_them_verify_a_scene(scene, sums, tmp_path):
    fetch_scene(scene, "lego", tmp_path / "out", sums)
    assert is_verified(tmp_path / "out" / "manifest.json") is True


@pytest.mark.parametrize("verify", ["strict", "warn", "off"])
@pytest.mark.parametrize("change", ["other", "missing"])
def test_other_files_are_refused_warned_of_or_taken(scene, sums, tmp_path, caplog, verify, change):
    image = scene / "train" / "r_1.png"
    image.unlink() if change == "missing" else image.write_bytes(b"another")
    text = "train/r_1.png"
    if verify == "strict":
        before = tree(tmp_path)
        with pytest.raises(DataError, match=rf"^{scene}: 1 .*{text}.*accept these with `verify: warn`"):
            fetch_scene(scene, "lego", tmp_path / "out", sums, verify)
        assert tree(tmp_path) == before
        return
    fetch_scene(scene, "lego", tmp_path / "out", sums, verify)
    assert (text in caplog.text) == (verify == "warn")
    assert is_verified(tmp_path / "out" / "manifest.json") is False


def test_the_real_lego_in_another_size_is_told_from_the_official_one(lego_archive, tmp_path):
    with pytest.raises(DataError, match=r"400 of 403 files differ from the official ones, first test/r_0\.png"):
        fetch_scene(lego_archive, "lego", tmp_path / "out", OFFICIAL / "lego.sha256")


def test_what_is_no_manifest_tells_nothing(tmp_path):
    for text in ("", "[]", "{}", '{"verified": "yes"}', '{"verified": null}'):
        (tmp_path / "manifest.json").write_text(text)
        assert is_verified(tmp_path / "manifest.json") is None
    assert is_verified(tmp_path / "none.json") is None


def test_a_users_path_comes_before_the_copy_of_the_site(tmp_path, monkeypatch):
    monkeypatch.delenv("MIPNERF_SOURCES", raising=False)
    monkeypatch.setenv("SCRATCH", "/scratch")
    assert local_source("nerf_synthetic", None) is None
    assert local_source("nerf_synthetic", "$SCRATCH/a.zip") == "/scratch/a.zip"
    monkeypatch.setenv("MIPNERF_SOURCES", str(tmp_path))
    assert local_source("nerf_synthetic", None) is None
    (tmp_path / "nerf_synthetic.tar.gz").touch()
    assert local_source("nerf_synthetic", None) == f"{tmp_path}/nerf_synthetic.tar.gz"
    assert local_source("nerf_synthetic", "/mine.zip") == "/mine.zip"
    monkeypatch.setenv("MIPNERF_SOURCES", "/nowhere")
    with pytest.raises(ConfigError, match="MIPNERF_SOURCES is /nowhere, which is no folder"):
        local_source("nerf_synthetic", None)


def test_urls_are_those_that_have_the_scene():
    downloads = [DownloadConfig(url="http://a/{scene}.zip"), DownloadConfig(url="gdrive://b", scenes=["lego"])]
    assert source_urls(downloads, "lego") == ["http://a/{scene}.zip", "gdrive://b"]
    assert source_urls(downloads, "ship") == ["http://a/{scene}.zip"]
