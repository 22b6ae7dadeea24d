"""The configuration of a project, read from its files as Snakemake reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mipnerf.config import SuiteConfig, parse_config
from mipnerf.errors import ConfigError

CONFIG_FILES = ("datasets.yaml", "variants.yaml", "config.yaml")  # in the order in which the Snakefile reads them


def missing_files(project: Path) -> list[Path]:
    """Those of its configuration files that a project lacks; all of them, if the folder is none."""
    return [path for name in CONFIG_FILES if not (path := project / "config" / name).exists()]


def read_suite(project: Path, configfiles: Sequence[Path] = ()) -> SuiteConfig:
    """The configuration in the folder `config` of a project, with `configfiles` on top, as Snakemake reads them."""
    values: dict[str, Any] = {}
    for path in [*(project / "config" / name for name in CONFIG_FILES), *configfiles]:
        values = merged(values, read_mapping(path))
    return parse_config(values)


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
