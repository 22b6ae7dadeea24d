"""What goes wrong outside of the program while data are fetched and converted, tried on the real command lines."""

import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from processes import PATIENCE
from scene_files import read_transforms_file, tree, write_scene, write_transforms

from mipnerf.datasets.blender import load_scene as load_blender
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.fetching.fetch import fetch_scene
from mipnerf.datasets.multiscale import load_scene
from mipnerf.errors import DataError

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"


def command(script: str, **arguments: object) -> list[str]:
    named = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    return [sys.executable, str(SCRIPTS / f"{script}.py"), *named]


def run(script: str, **arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(script, **arguments), capture_output=True, text=True, timeout=PATIENCE)


def one_message(result: subprocess.CompletedProcess) -> str:
    """The single line that a failed command printed."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removesuffix("\n")


@pytest.fixture
def archive(tmp_path) -> Path:
    scene = write_scene(tmp_path / "packed" / "lego", {"train": 8, "val": 1, "test": 1}, width=32, height=32)
    with zipfile.ZipFile(tmp_path / "lego.zip", "w") as stream:
        for path in sorted(scene.rglob("*")):
            stream.write(path, path.relative_to(scene.parent))
    return tmp_path / "lego.zip"


@pytest.fixture
def long_scene(tmp_path) -> Path:
    """A scene that takes a second or two to convert: one image, shown 150 times."""
    source = write_scene(tmp_path / "long", {"train": 1, "val": 1, "test": 1}, width=512, height=512)
    content = read_transforms_file(source, "train")
    write_transforms(source, "train", content | {"frames": content["frames"] * 150})
    return source


def test_the_scripts_fetch_and_convert(archive, tmp_path):
    fetched = run("fetch", source=archive, scene="lego", output=tmp_path / "raw" / "lego", log=tmp_path / "fetch.log")
    assert (fetched.returncode, fetched.stdout) == (0, "")
    assert (tmp_path / "raw" / "lego" / "manifest.json").exists()
    assert (tmp_path / "fetch.log").exists()

    converted = run("convert", input=tmp_path / "raw/lego", output=tmp_path / "out", levels=3, threads="1/4")
    assert (converted.returncode, converted.stdout) == (0, "")
    assert load_scene(tmp_path / "out", "train").num_views == 8 * 3
    assert (
        load_scene(tmp_path / "out", "train").at_level(0).num_pixels
        == load_blender(tmp_path / "raw" / "lego", "train").num_pixels
    )


def test_no_progress_bar_ends_up_in_a_log(archive, tmp_path):
    assert run("fetch", source=archive, scene="lego", output=tmp_path / "lego").stderr == ""
    assert run("convert", input=tmp_path / "lego", output=tmp_path / "out").stderr == ""


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("fetch", ["--source", "--scene", "--output", "--checksums", "--verify", "--log"]),
        ("download", ["--urls", "--scene", "--output", "--downloads", "--checksums", "--verify", "--set", "--log"]),
        ("convert", ["--input", "--output", "--levels", "--threads"]),
    ],
)
def test_help_names_every_argument(script, arguments):
    result = subprocess.run([*command(script), "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0
    assert all(argument in result.stdout for argument in arguments)


def test_a_missing_archive_ends_with_one_message_here_and_in_the_log(tmp_path):
    log = tmp_path / "fetch.log"
    message = one_message(run("fetch", source=tmp_path / "no.zip", scene="lego", output=tmp_path / "out", log=log))
    assert message.startswith(f"DataError: {tmp_path}/no.zip does not exist")
    assert log.read_text() == message + "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["fetch.log"]


def test_an_unknown_scene_ends_with_one_message_naming_the_known(archive, tmp_path):
    message = one_message(run("fetch", source=archive, scene="drums", output=tmp_path / "out"))
    assert "no scene named 'drums'" in message
    assert message.endswith("found: lego")


def test_a_truncated_image_ends_with_one_message_naming_it(archive, tmp_path):
    image = tmp_path / "packed" / "lego" / "train" / "r_5.png"
    os.truncate(image, 100)
    message = one_message(run("convert", input=tmp_path / "packed" / "lego", output=tmp_path / "out"))
    assert message.startswith(f"DataError: {image}: not a whole, undamaged PNG image (100 bytes")
    assert {path.name for path in tmp_path.iterdir()} == {"packed", "lego.zip"}


def test_impossible_levels_end_with_one_message(archive, tmp_path):
    scene = tmp_path / "packed" / "lego"
    assert "at least 1, found 0" in one_message(run("convert", input=scene, output=tmp_path / "out", levels=0))
    assert "both must be at least 512" in one_message(run("convert", input=scene, output=tmp_path / "out", levels=10))


def test_an_interrupted_download_is_noticed_wherever_it_stopped(archive, tmp_path):
    whole = archive.read_bytes()
    before = tree(tmp_path / "packed")
    for length in range(0, len(whole), len(whole) // 40):
        archive.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"lego\.zip: damaged, truncated or no archive"):
            fetch_scene(archive, "lego", tmp_path / "out")
        assert {path.name for path in tmp_path.iterdir()} == {"packed", "lego.zip"}
    assert tree(tmp_path / "packed") == before
    assert "damaged, truncated" in one_message(run("fetch", source=archive, scene="lego", output=tmp_path / "out"))


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_tar_that_was_cut_short_is_noticed_wherever(archive, tmp_path, ending):
    source = tmp_path / f"lego.{ending}"
    with tarfile.open(source, "w:gz" if ending == "tar.gz" else "w") as stream:
        stream.add(tmp_path / "packed" / "lego", "lego")
        end = stream.offset
    whole = source.read_bytes()
    step = tarfile.BLOCKSIZE if ending == "tar" else len(whole) // 30
    for length in range(0, end if ending == "tar" else len(whole), step):
        source.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"lego\.tar"):
            fetch_scene(source, "lego", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    source.write_bytes(whole)
    fetch_scene(source, "lego", tmp_path / "out")


@pytest.mark.parametrize("script", ["fetch", "convert"])
def test_a_disk_that_fills_up_ends_with_one_message_and_leaves_no_litter(archive, tmp_path, script):
    arguments = {"source": archive, "scene": "lego"} if script == "fetch" else {"input": tmp_path / "packed" / "lego"}
    before = tree(tmp_path)
    # The kernel refuses to write beyond 2 KiB a file, as it does on a full disk.
    limited = ["bash", "-c", 'ulimit -f 2; exec "$@"', "bash", *command(script, **arguments, output=tmp_path / "out")]
    result = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE)
    assert f"{tmp_path}/out: cannot be written (File too large)" in one_message(result)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("script", ["fetch", "convert"])
def test_an_output_below_a_file_ends_with_one_message(archive, tmp_path, script):
    arguments = {"source": archive, "scene": "lego"} if script == "fetch" else {"input": tmp_path / "packed" / "lego"}
    (tmp_path / "file").write_text("")
    message = one_message(run(script, **arguments, output=tmp_path / "file" / "out"))
    assert f"{tmp_path}/file/out: cannot be written" in message


def kill_in_the_middle(process: subprocess.Popen, folder: Path) -> None:
    """Kill as soon as some images of the conversion have been written."""
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob(".*.part/images_train/*.png"))) < 8:
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_kill_9_in_a_first_conversion_leaves_no_metadata_and_a_rerun_works(long_scene, tmp_path):
    outputs = tmp_path / "outputs"
    kill_in_the_middle(subprocess.Popen(command("convert", input=long_scene, output=outputs / "long")), outputs)
    assert not list(outputs.rglob("metadata.json"))
    assert not (outputs / "long").exists()

    assert run("convert", input=long_scene, output=outputs / "long").returncode == 0
    assert load_scene(outputs / "long", "train", max_views=3).num_views == 3 * 4
    assert len(list((outputs / "long").glob("images_*/*.png"))) == 152 * 4


def test_kill_9_leaves_an_older_conversion_whole(long_scene, archive, tmp_path):
    outputs = tmp_path / "outputs"
    convert_to_multiscale(tmp_path / "packed" / "lego", outputs / "long")
    before = tree(outputs / "long")
    kill_in_the_middle(subprocess.Popen(command("convert", input=long_scene, output=outputs / "long")), outputs)
    assert tree(outputs / "long") == before
