"""Where a scene can come from: a copy that the user names, one of the site, or the network. No file is opened but JSON.

Free of numpy: parsing the workflow asks here.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mipnerf.config import DownloadConfig
from mipnerf.errors import ConfigError

SITE_VARIABLE = "MIPNERF_SOURCES"
SUFFIXES = ("", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def local_source(source: str, configured: str | None) -> str | None:
    """The local archive or folder of `source`: the `configured` one, else one in the folder of $MIPNERF_SOURCES.

    The former need not exist. Raises `ConfigError` if the variable names no folder.
    """
    if configured is not None:
        return os.path.expandvars(os.path.expanduser(configured))
    site = os.environ.get(SITE_VARIABLE)
    if not site:
        return None
    folder = Path(site).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"{SITE_VARIABLE} is {site}, which is no folder; it must name the one that holds {source}.zip, or be unset"
        )
    return next((str(path) for suffix in SUFFIXES if (path := folder / f"{source}{suffix}").exists()), None)


def source_urls(downloads: Sequence[DownloadConfig], scene: str) -> list[str]:
    """The URLs of the archives that hold `scene`, in order, `{scene}` still in them."""
    return [download.url for download in downloads if download.scenes is None or scene in download.scenes]


def is_verified(manifest: Path) -> bool | None:
    """Whether the files of a fetched scene are the official ones; None where that is not known."""
    try:
        verified = json.loads(manifest.read_text(encoding="utf-8")).get("verified")
    except (OSError, ValueError, AttributeError):
        return None
    return verified if isinstance(verified, bool) else None
