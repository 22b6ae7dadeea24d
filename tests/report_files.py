"""Files of a report: which its tables are, and some that a run leaves for it."""

import json
from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from mipnerf.config.sections import ORBIT_LEVELS
from mipnerf.report.names import table_names

ORBIT_FRAMES = 6
FORMATS = ("md", "csv", "tex", "html")


def table_files(datasets: Iterable[str]) -> list[str]:
    """Every file of the tables of some datasets."""
    files = [f"tables/{name}.{ending}" for dataset in datasets for name in table_names(dataset) for ending in FORMATS]
    return [*[f"table.{ending}" for ending in FORMATS], *files, "verdict.md", "verdict.csv"]


def add_orbit(folder: Path) -> None:
    """Frames as `workflow_scripts/orbit.py` leaves them, each of one grey: 10 for a frame, and 1 for a level."""
    for level in range(ORBIT_LEVELS):
        size = 32 >> level
        record = {"frames": ORBIT_FRAMES, "width": size, "height": size, "folder": f"frames/{level}"}
        frames = folder / "orbit" / record["folder"]
        frames.mkdir(parents=True)
        for i in range(ORBIT_FRAMES):
            iio.imwrite(frames / f"{i:05d}.png", np.full((size, 2 * size, 3), 10 * i + level, np.uint8))
        (folder / "orbit" / f"level_{level}.json").write_text(json.dumps(record))
