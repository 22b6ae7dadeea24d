"""Captures with something wrong in them, drawn at random: for tests, and as a command for many.

python tests/capture_mutations.py --count 1000 --seed 1
"""

import argparse
import contextlib
import copy
import json
import logging
import math
import random
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
from capture_files import make_toy, transforms_of, write_colmap, write_images, write_json
from scene_files import write_llff_scene, write_scene

from mipnerf.config import DataConfig
from mipnerf.datasets.load import load_scene
from mipnerf.datasets.scene import Scene
from mipnerf.errors import MipNerfError

Touched = Collection[str]  # keys, frames, rows and the like, of which a message has to name one
TOY = make_toy(views=5)
# What is said of a capture where no single value is at fault: poses, bounds, sizes and counts.
OF_THE_WHOLE = (
    "do not look at a common point",
    "set data.near and data.far",
    "set data.factor",
    "holds no scene",
    "have no average",
    "no photograph is left",
    "as in the rest of the scene",
)
IS_COUNTED = "every image needs its pose"
MAX_SECONDS = 10.0
MAX_BYTES = 4 << 30  # of address space beyond what the process has
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1e-320,
    1e308,
    -1e39,
    math.nan,
    math.inf,
    2**63,
    10**400,
    "",
    "x",
    "../x",
    "a\0b",
    "\ud800",
]
ODD += [[], {}, [1, 2], [[1, 0, 0, 0]] * 4, {"a": 1}, "images/000.png", "images"]
ODD_WORDS = ["nan", "inf", "-1", "1e400", "99999999999999999999", "x", "0", "#", "1e-320", "\0", "PINHOLE", "OPENCV"]


def write_transforms_capture(folder: Path) -> Path:
    return write_json(write_images(TOY, folder), transforms_of(TOY))


def write_colmap_capture(folder: Path, suffix: str) -> Path:
    return write_colmap(TOY, write_images(TOY, folder), suffix)


LAYOUTS = {
    "transforms": write_transforms_capture,
    "colmap text": lambda folder: write_colmap_capture(folder, ".txt"),
    "colmap binary": lambda folder: write_colmap_capture(folder, ".bin"),
    "llff": lambda folder: write_llff_scene(folder, views=5, width=8, height=6),
    "blender": lambda folder: write_scene(folder, width=8, height=8),
}


def places(node: object, path: tuple = ()) -> list[tuple]:
    """The path of every value in a JSON document, but the document itself."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in items for place in [(*path, key), *places(value, (*path, key))]]


def edit_json(path: Path, rng: random.Random) -> Touched:
    document, touched = json.loads(path.read_text()), set()
    for _ in range(rng.randint(1, 2)):
        by_depth: dict[int, list[tuple]] = {}
        for place in places(document):
            by_depth.setdefault(len(place), []).append(place)
        if not by_depth:
            break
        *parents, key = rng.choice(by_depth[rng.choice(sorted(by_depth))])
        touched.add(named_key((*parents, key)))
        parent = document
        for name in parents:
            parent = parent[name]
        action = rng.choice(["drop", "set", "set", "retype"])
        if action == "drop":
            del parent[key]
        elif action == "set":
            parent[key] = copy.deepcopy(rng.choice(ODD))
        else:
            parent[key] = rng.choice([str, lambda value: [value], lambda value: {"value": value}, bool])(parent[key])
    path.write_text(json.dumps(document))
    return touched


def named_key(place: tuple) -> str:
    """What a message should name of a place in a JSON document: the innermost key, or the frame that is whole."""
    *_, key = (part for part in place if isinstance(part, str))
    if key != "frames":
        return repr(key)
    return f"frame {place[-1]}" if isinstance(place[-1], int) else "frame"


def edit_words(path: Path, rng: random.Random) -> Touched:
    lines = path.read_text().split("\n")
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(len(lines))
        words = lines[i].split(" ")
        j = rng.randrange(len(words))
        words[j : j + 1] = rng.choice([[], [rng.choice(ODD_WORDS)], [words[j]] * 2])
        lines[i : i + 1] = rng.choice([[" ".join(words)]] * 4 + [[], [lines[i]] * 2])
    path.write_text("\n".join(lines))
    return {"line ", "camera ", "image "}  # one more word or line moves what follows


def edit_rows(path: Path, rng: random.Random) -> Touched:
    rows = np.load(path)
    row = rng.randrange(len(rows))
    with np.errstate(all="ignore"):
        rows[row, rng.randrange(17)] = rng.choice([math.nan, math.inf, 0, -1, 1e308, 1e-320, 1e39])
        is_whole = rng.random() >= 0.3
        if not is_whole:
            rows = rng.choice([rows[:-1], rows[:, :-1], rows.T, rows[:0], rows.astype(np.float16), rows.astype(str)])
        np.save(path, rows)
    return {f"row {row}"} if is_whole else set()


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    end = len(data) if rng.random() < 0.5 else min(len(data), 64)  # headers are where counts are
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(end)] = rng.choice([0, 0xFF, 0x7F, rng.randrange(256)])
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def enlarge(path: Path, rng: random.Random) -> None:
    """Eight bytes, which may be a count, become huge."""
    data = bytearray(path.read_bytes())
    start = rng.choice([0, rng.randrange(max(1, len(data) - 8))])
    data[start : start + 8] = rng.choice([2**63 - 1, 2**64 - 1, 2**40, 2**32 - 1]).to_bytes(8, "little")
    path.write_bytes(data)


def replace_file(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice([b"", b"\0" * 100, b"text\n", b"\xff\xfe", b"[" * 100_000, rng.randbytes(200)]))


def make_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


EDITS = {".json": edit_json, ".txt": edit_words, ".npy": edit_rows}


def mutate(folder: Path, rng: random.Random) -> tuple[str, str, Touched]:
    """Spoil one file of the scene in `folder`, mostly one with cameras: what was done, the file, what was touched."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    cameras = [path for path in files if path.suffix != ".png"]
    path = rng.choice(cameras if rng.random() < 0.8 else files)
    edits = [flip, cut, enlarge, replace_file, make_folder, remove]
    if path.suffix in EDITS:
        edits += [EDITS[path.suffix]] * 12
    edit = rng.choice(edits)
    touched = edit(path, rng) or set()
    what = " ".join(sorted(touched))
    return f"{edit.__name__} {path.relative_to(folder)} {what}", path.name, touched


def check(scene: Scene) -> None:
    """Fail unless the numbers of a scene that was accepted can be trained on."""
    for name in ("camtoworlds", "pix2cams", "nears", "fars", "lossmults"):
        with np.errstate(over="ignore"):
            assert np.isfinite(getattr(scene, name).astype(np.float32)).all(), f"{name} is not finite"
    assert scene.num_pixels > 0


def is_clear(message: str, folder: Path, spoiled: str, touched: Touched) -> bool:
    """Whether a message is one line that names the file `spoiled` and one of what was `touched`."""
    if "\n" in message:
        return False
    # Values may be fine one by one, and only together leave no scene: then what was read is named, or an option.
    if any(whole in message for whole in OF_THE_WHOLE):
        return str(folder) in message
    # Of an image that is not there, the layout llff knows only that one is.
    is_named = spoiled in message or Path(spoiled).stem in message or (IS_COUNTED in message and ".png" in spoiled)
    return is_named and (not touched or any(name in message for name in touched))


def outcome(folder: Path, spoiled: str, rng: random.Random, touched: Touched = ()) -> str:
    """What loading the scene in `folder` ends with, whose file `spoiled` is: `loads`, `refused`, or what is wrong.

    Of what was `touched` in the file, a message has to name one.
    """
    data = DataConfig(normalize=rng.random() < 0.5, spherify=rng.random() < 0.3, factor=rng.choice([0, 0, 2]))
    started = time.monotonic()
    try:
        for split in ("train", "test"):
            check(load_scene(folder, split, 1, data))
        result = "loads"
    except MipNerfError as error:
        message = str(error)
        result = "refused" if is_clear(message, folder, spoiled, touched) else f"unclear: {message}"
    except Exception:
        result = "failed: " + traceback.format_exc()
    seconds = time.monotonic() - started
    return result if seconds < MAX_SECONDS else f"slow: {seconds:.1f} s, {result}"


def run(count: int, seed: int, folder: Path) -> list[tuple[str, str, str]]:
    """`count` captures, spoiled one by one: layout, what was done, what came of it."""
    sources = {name: write(folder / "whole" / name.replace(" ", "_")) for name, write in LAYOUTS.items()}
    results = []
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        layout = rng.choice(sorted(sources))
        target = folder / "spoiled"
        shutil.copytree(sources[layout], target)
        done, spoiled, touched = mutate(target, rng)
        results.append((layout, f"{seed} {i}: {done}", outcome(target, spoiled, rng, touched)))
        shutil.rmtree(target)
    return results


@contextlib.contextmanager
def limited_memory(size: int = MAX_BYTES):
    """A process that may take no more than `size` bytes beyond what it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, limited_memory():
        results = run(arguments.count, arguments.seed, Path(folder))
    counts = Counter((layout, result.split(":")[0]) for layout, _, result in results)
    for (layout, kind), number in sorted(counts.items()):
        print(f"{layout:14} {kind:8} {number}")
    bad = [entry for entry in results if entry[2] not in ("loads", "refused")]
    for layout, done, result in bad:
        print(f"\n{layout}: {done}\n{result}".encode(errors="backslashreplace").decode())
    print(
        f"{len(results)} captures in {time.monotonic() - started:.0f} s, {len(bad)} neither load nor are refused well"
    )
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
