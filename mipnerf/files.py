"""Writing without ever leaving half a file: temporary name in the same folder, fsync, rename."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

# Of thousands of runs at a time; where PyYAML was built without libyaml, it takes ten times as long.
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes its place, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 `text`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def parse_yaml(text: str) -> Any:
    """What a text that the suite wrote means; raises yaml.YAMLError."""
    return yaml.load(text, _YamlLoader)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its place on success; the old one goes only then."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _recover(folder)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    temporary.mkdir()
    try:
        yield temporary
        replaced = temporary.with_suffix(".old")
        if folder.exists():
            os.rename(folder, replaced)
        os.rename(temporary, folder)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _recover(folder: Path) -> None:
    """Clear up after a process that was killed in the middle of `atomic_folder`."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}\.(part|old)")
    for leftover in [path for path in folder.parent.iterdir() if pattern.fullmatch(path.name)]:
        if leftover.suffix == ".old" and not folder.exists():
            os.rename(leftover, folder)
        else:
            shutil.rmtree(leftover, ignore_errors=True)
