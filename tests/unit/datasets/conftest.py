"""Sources of scenes."""

import os
from pathlib import Path

import pytest
from archive_files import MARKER
from desk_source import KINDS, Desk
from scene_files import write_scene


@pytest.fixture
def nested(tmp_path) -> Path:
    """A folder as people have it: two scenes some levels down, and what macOS leaves behind."""
    top = tmp_path / "Downloads"
    write_scene(top / "nerf_synthetic" / "lego")
    write_scene(top / "nerf_synthetic" / "ship", {"train": 1, "val": 1, "test": 1})
    for litter in ("__MACOSX/nerf_synthetic/lego/._transforms_train.json", "nerf_synthetic/lego/.DS_Store"):
        (top / litter).parent.mkdir(parents=True, exist_ok=True)
        (top / litter).write_bytes(b"litter")
    (top / "__MACOSX" / "nerf_synthetic" / "lego" / MARKER).write_bytes(b"litter")
    (top / "nerf_synthetic" / "lego" / "train" / "._r_0.png").write_bytes(b"litter")
    (top / "README.txt").write_text("about")
    return top


@pytest.fixture(params=KINDS)
def desk(request, tmp_path) -> Desk:
    return Desk(tmp_path, request.param).fetch()


@pytest.fixture
def linked(tmp_path) -> Desk:
    """One whose files are those of the source."""
    desk = Desk(tmp_path).fetch()
    assert os.path.samefile(desk.fetched / "transforms.json", desk.captures / "desk" / "transforms.json")
    return desk
