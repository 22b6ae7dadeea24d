"""What the report shows from all around a scene: one path at several sizes, as from ever farther away."""

import json
import logging
from pathlib import Path

from mipnerf.config.sections import ORBIT_LEVELS
from mipnerf.errors import DataError
from mipnerf.files import write_text
from mipnerf.views.frames import render_shard
from mipnerf.views.renderer import Renderer

log = logging.getLogger(__name__)


def render_orbit(
    model: Path, data_folder: Path, renderer: Renderer, path: str, num_frames: int, width: int, folder: Path
) -> None:
    """Render the frames of `path` that are not there yet, and write level_0.json and the others to `folder`.

    Level 0 is `width` pixels wide, each further one half of that. Cameras that stand around nothing have no such views,
    which is no reason to have no report: the files then say so.
    """
    for level in range(ORBIT_LEVELS):
        manifest = folder / f"level_{level}.json"
        try:
            render_shard(model, data_folder, renderer, path, num_frames, manifest, width=max(1, width >> level))
        except DataError as error:
            log.warning("no views from around: %s", error)
            write_text(manifest, json.dumps({"frames": 0, "reason": str(error)}) + "\n")
