"""The views of one level, or the frames of a video, as several jobs, whose results together are those of one."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mipnerf.errors import ConfigError, DataError
from mipnerf.files import atomic_folder, write_text


class Shard(NamedTuple):
    """Part `index` (from 0) of `count` parts of a list."""

    index: int = 0
    count: int = 1

    def of(self, num_items: int) -> range:
        """The positions of this part's items: the parts follow each other, and some are empty where there are few."""
        return range(self.index * num_items // self.count, (self.index + 1) * num_items // self.count)

    @property
    def name(self) -> str:
        """What a person counts from 1: `2_of_3`, also the name of its folder."""
        return f"{self.index + 1}_of_{self.count}"


WHOLE = Shard()


def shard_names(count: int) -> list[str]:
    """The names of all parts, where there are `count`."""
    return [Shard(i, count).name for i in range(count)]


def parse_shard(text: str) -> Shard:
    """`2_of_3` as a shard; `ConfigError` for another form, and for a part that is not one of so many."""
    match = re.fullmatch(r"(\d{1,9})_of_(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"{text!r} is no part of a whole; give 1_of_3, 2_of_3 or 3_of_3 for thirds")
    return Shard(int(match[1]) - 1, int(match[2]))


def merge_shards(folders: Sequence[Path], output: Path) -> int:
    """Put `metrics.csv` and `renderings/` of all shards, in their order, into `output`; returns the number of images.

    Raises `DataError` where a shard is missing or cut off, or two have the same view.
    """
    tables = [_read(folder / "metrics.csv") for folder in folders]
    if len({header for header, _ in tables}) != 1:
        raise DataError(f"the shards in {folders[0].parent} have different columns; remove them to evaluate again")
    num_images = 0
    with atomic_folder(output / "renderings") as images:
        for picture in (path for folder in folders for path in sorted((folder / "renderings").glob("*.png"))):
            if (images / picture.name).exists():
                raise DataError(f"{picture} is in two shards of {output}; remove both to evaluate again")
            shutil.copyfile(picture, images / picture.name)
            num_images += 1
    write_text(output / "metrics.csv", tables[0][0] + "".join(rows for _, rows in tables))
    return num_images


def _read(path: Path) -> tuple[str, str]:
    """The first line of a file, and the others."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it to evaluate again") from None
    if not text.endswith("\n"):
        raise DataError(f"{path}: is cut off; remove it to evaluate again")
    header, newline, rows = text.partition("\n")
    return header + newline, rows
