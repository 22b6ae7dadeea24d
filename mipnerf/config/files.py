"""The configuration of a project, read from its files as Snakemake reads them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mipnerf.config import SuiteConfig, parse_config
from mipnerf.errors import ConfigError

CONFIG_FILES = ("datasets.yaml", "variants.yaml", "config.yaml")  # in the order in which the workflow reads them
HOME = Path(__file__).parents[2] / "config"  # of the workflow that this library belongs to


def missing_files(project: Path) -> list[Path]:
    """Those of its configuration files that a project lacks; all of them, if the folder is none."""
    return [path for name in CONFIG_FILES if not (path := project / "config" / name).exists()]


def default_files(folder: Path | None) -> list[Path]:
    """The files of the default configuration: those in `folder`, and the workflow's own where it has none."""
    places = [HOME] if folder is None else [folder, HOME]
    return [next((path for place in places if (path := place / name).exists()), HOME / name) for name in CONFIG_FILES]


def read_suite(project: Path, configfiles: Sequence[Path] = ()) -> SuiteConfig:
    """The configuration of a project, with `configfiles` on top, as the workflow reads them in its folder."""
    return parse_config(read_values([*default_files(project / "config"), *configfiles]))


def read_values(files: Iterable[Path]) -> dict[str, Any]:
    """The content of all `files`, each merged with those before it."""
    values: dict[str, Any] = {}
    for path in files:
        values = merged(values, read_mapping(path))
    return values


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML file; raises ConfigError if it holds no mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no mapping of keys to values")
    return values


def merged(base: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`: mappings are merged at every depth, all else is replaced."""
    result = dict(base) if isinstance(base, Mapping) else {}
    for key, value in changes.items():
        result[key] = merged(result.get(key), value) if isinstance(value, Mapping) else value
    return result
