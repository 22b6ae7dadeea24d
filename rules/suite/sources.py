"""Where the scenes come from, and whether what was fetched is still what their sources hold."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from mipnerf.config import RunConfig, SuiteConfig
from mipnerf.datasets.sources import is_verified, local_source, source_urls

Wildcards = Any


class Sources:
    """The archives and folders of this machine, and the places in the network.

    `home` is the folder of the workflow, `place` says where a file of the data is.
    """

    def __init__(self, suite: SuiteConfig, home: Path, place: Callable[[str], str]) -> None:
        self.suite, self.home, self.place = suite, home, place
        self.scenes = suite.scenes_of_sources()
        self.local = {name: local_source(name, suite.sources.get(name)) for name in self.scenes}
        # Those that nothing need be done for: no rule makes what is there.
        self.fetched: list[str] = []

    def fetched_from_here(self) -> list[str]:
        """The sources that are on this machine."""
        return [source for source, path in self.local.items() if path]

    def downloaded(self) -> list[str]:
        """The sources that come from the network."""
        return [source for source, path in self.local.items() if not path]

    def manifest(self, source: str, scene: str) -> Path:
        """The file that is there once a scene is fetched, last of its folder."""
        return Path(self.place(f"{self.suite.data_root}/sources/{source}/{scene}/manifest.json"))

    def archive_of(self, wildcards: Wildcards) -> str:
        """The archive or folder on this machine that a source is taken from."""
        return self.archive(wildcards.source)

    def archive(self, source: str) -> str:
        """The path of the archive or folder of a source, which is there."""
        path = self.local[source]
        if path is None or not Path(path).exists():
            raise WorkflowError(_missing(source, f"is {self.suite.sources[source]}, which does not exist"))
        return path

    def urls_of(self, wildcards: Wildcards) -> list[str]:
        """Where a scene is downloaded from, in order."""
        return self.urls(wildcards.source, wildcards.scene)

    def urls(self, source: str, scene: str) -> list[str]:
        """The places in the network that have a scene."""
        return source_urls(self.suite.downloads.get(source, []), scene)

    def checksums_of(self, wildcards: Wildcards) -> list[str]:
        """The argument that names the official sums of a scene, or nothing where it has none."""
        path = self.home / "config" / "checksums" / wildcards.source / f"{wildcards.scene}.sha256"
        return ["--checksums", str(path)] if path.exists() else []

    def check(self, runs: Sequence[RunConfig]) -> None:
        """Refuse runs whose data is neither there nor to be had, or not the official one, before any job starts."""
        for source, scene in dict.fromkeys((self.suite.datasets[run.dataset].source, run.scene) for run in runs):
            if source == "bricks":
                continue
            manifest = self.manifest(source, scene)
            if not manifest.exists():
                self._check_places(source, scene)
            elif self.suite.verify == "strict" and is_verified(manifest) is False:
                raise WorkflowError(
                    f"{manifest.parent} holds other files than the official ones: remove that folder to have it "
                    "fetched anew, or accept it with `verify: warn`"
                )

    def _check_places(self, source: str, scene: str) -> None:
        """Refuse a source that is neither on this machine nor in the network."""
        if self.local[source] is not None:
            self.archive(source)
        elif not self.urls(source, scene):
            raise WorkflowError(_missing(source, f"is not set, and downloads.{source} has no URL for {scene}"))


def _missing(source: str, problem: str) -> str:
    """What to do about a source that is not there."""
    return (
        f"sources.{source} {problem}: give the archive or folder that holds the scenes, in a configuration file or "
        f"by --config 'sources={{{source}: /path/to/{source}.zip}}'"
    )
