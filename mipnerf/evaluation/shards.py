"""The views of one level, or the frames of a video, as several jobs, whose results together are those of one."""

import re
from dataclasses import dataclass

from mipnerf.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count` parts of a list."""

    index: int = 0
    count: int = 1

    def of(self, num_items: int) -> range:
        """The positions of this part's items: the parts follow each other, and some are empty where there are few."""
        return range(self.index * num_items // self.count, (self.index + 1) * num_items // self.count)

    @property
    def name(self) -> str:
        """What a person counts from 1: `2_of_3`, also in the names of its files."""
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
