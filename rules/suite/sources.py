"""Where the scenes come from, and whether what was fetched is still what their sources hold."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from mipnerf.config import RunConfig, SuiteConfig
from mipnerf.config.layouts import PHOTOS
from mipnerf.datasets.fetching.origins import compare_with_source, want, wanted_file
from mipnerf.datasets.fetching.sources import is_verified, local_source, source_urls

Wildcards = Any


class Sources:
    """The archives and folders of this machine, and the places in the network.

    `home` is the folder of the workflow, `place` says where a file of the data is.
    """

    def __init__(self, suite: SuiteConfig, home: Path, place: Callable[[str], str]) -> None:
        self.suite, self.home, self.place = suite, home, place
        self.scenes = suite.scenes_of_sources()
        self.local = {name: local_source(name, suite.sources.get(name)) for name in self.scenes}
        # SOURCE/SCENE that nothing need be done for: no rule makes what is there.
        self.fetched: list[str] = []
        # Those that are there, but of which the source holds something else by now.
        self.changed: list[str] = []

    def fetched_from_here(self) -> list[str]:
        """The sources that are on this machine."""
        return [source for source, path in self.local.items() if path]

    def downloaded(self) -> list[str]:
        """The sources that come from the network."""
        return [source for source, path in self.local.items() if not path]

    def look(self, runs: Sequence[RunConfig]) -> None:
        """Find out which scenes of `runs` are fetched, and which of them are to be taken anew; tell the user.

        Snakemake would go by the age of an archive, and make all anew that was ever made of it.
        """
        scenes: dict[str, dict[str, Path]] = {}
        for source, scene in self._scenes_of(runs):
            if (manifest := self.manifest(source, scene)).exists():
                self.fetched.append(f"{source}/{scene}")
                scenes.setdefault(source, {})[scene] = manifest.parent
        for source, folders in scenes.items():
            if (path := self.local[source]) is None:
                continue
            for scene, comparison in compare_with_source(Path(path), folders, self.photos(source)).items():
                if text := comparison.describe():
                    logger.warning(text)
                if comparison.state == "changed" and want(comparison):
                    self.fetched.remove(f"{source}/{scene}")
                    self.changed.append(f"{source}/{scene}")

    def wanted(self, wildcards: Wildcards) -> list[str]:
        """The file that says what has changed of a scene, which is newer than what was fetched; else nothing."""
        if f"{wildcards.source}/{wildcards.scene}" not in self.changed:
            return []
        return [str(wanted_file(Path(self.suite.data_root, "sources", wildcards.source, wildcards.scene)))]

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
        """The argument that names the official sums of a scene, where it has some; of photographs, that they are such.

        One list for both: a parameter more would have everything fetched anew.
        """
        if wildcards.scene in self.photos(wildcards.source):
            return ["--photos"]
        path = self.home / "config" / "checksums" / wildcards.source / f"{wildcards.scene}.sha256"
        return ["--checksums", str(path)] if path.exists() else []

    def photos(self, source: str) -> set[str]:
        """The scenes of a source that are photographs or videos, without cameras."""
        datasets = self.suite.datasets.values()
        return {scene for each in datasets if (each.source, each.layout) == (source, PHOTOS) for scene in each.scenes}

    def check(self, runs: Sequence[RunConfig]) -> None:
        """Refuse runs whose data is neither there nor to be had, or not the official one, before any job starts."""
        for source, scene in self._scenes_of(runs):
            manifest = self.manifest(source, scene)
            if not manifest.exists():
                self._check_places(source, scene)
            elif f"{source}/{scene}" in self.changed:
                pass  # what is taken anew is checked anew
            elif self.suite.verify == "strict" and is_verified(manifest) is False:
                raise WorkflowError(
                    f"{manifest.parent} holds other files than the official ones: name an archive that has these by "
                    f"--config 'sources={{{source}: /path/to/{source}.zip}}', or accept it with `verify: warn`"
                )

    def _scenes_of(self, runs: Sequence[RunConfig]) -> list[tuple[str, str]]:
        """Source and scene of all that `runs` read, but the bricks, which are made here."""
        pairs = dict.fromkeys((self.suite.datasets[run.dataset].source, run.scene) for run in runs)
        return [(source, scene) for source, scene in pairs if source != "bricks"]

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
