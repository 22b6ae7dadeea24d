"""SHA-256 sums of the official files of a scene, in the form of `sha256sum`, and how a copy departs from them."""

import re
from collections.abc import Mapping
from pathlib import Path

from mipnerf.errors import DataError

LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
# Maps beside the test images, which nothing here reads: a copy may lack them, but not have others.
NOT_NEEDED = re.compile(r"_(depth|normal)_\d+\.png$")


def read_checksums(path: Path) -> dict[str, str]:
    """The sum of every official file by its name relative to the scene; `DataError` for a malformed file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with the suite: restore it") from None
    sums = {}
    for number, line in enumerate(lines, start=1):
        if not (match := LINE.fullmatch(line)):
            raise DataError(f"{path}:{number}: must be a SHA-256 sum, two spaces and a file name, as sha256sum writes")
        sums[match[2]] = match[1]
    if not sums:
        raise DataError(f"{path}: holds no sum; restore it, or remove it where no file is official")
    return sums


def departure(found: Mapping[str, str], official: Mapping[str, str]) -> str | None:
    """How the files `found` depart from the `official` ones (both name to sum), or None where they do not.

    Every official file but depth and normal maps has to be there, and each that is there has to be equal. Files of
    other names are not looked at: no official camera refers to them.
    """
    wrong = [name for name in sorted(found) if official.get(name, found[name]) != found[name]]
    missing = [name for name in sorted(official) if name not in found and not NOT_NEEDED.search(name)]
    parts = []
    if wrong:
        name = wrong[0]
        parts.append(
            f"{len(wrong)} of {len(found)} files differ from the official ones, first {name} "
            f"(SHA-256 {found[name]}, official {official[name]})"
        )
    if missing:
        parts.append(f"{len(missing)} official files are missing, first {missing[0]}")
    return "; ".join(parts) or None
