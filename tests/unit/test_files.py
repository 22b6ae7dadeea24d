import pytest

from mipnerf.files import atomic_folder, atomic_path, write_text


def test_text_appears_whole(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "é\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é\n".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def half(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError("stop")


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    with pytest.raises(KeyError):
        half(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.txt"]


def make(folder, *, fail=False):
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
        if fail:
            raise KeyError("stop")


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(KeyError):
        make(folder, fail=True)
    assert [path.name for path in folder.iterdir()] == ["old"]
    make(folder)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_an_old_folder_that_a_kill_left_aside_comes_back(tmp_path):
    aside = tmp_path / ".scene.0123abcd.old"
    aside.mkdir()
    (aside / "old").touch()
    with pytest.raises(KeyError):
        make(tmp_path / "scene", fail=True)
    assert [path.name for path in (tmp_path / "scene").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]
