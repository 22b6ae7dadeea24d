"""The images of a split: sizes, brightness and small copies."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from mipnerf.datasets.scene import Scene, parallel
from mipnerf.inspection.cameras import cameras_of
from mipnerf.inspection.silhouettes import silhouette_of

THUMBNAIL = 160  # pixels of the longer side


@dataclass(frozen=True, eq=False)
class Split:
    """What is kept of the V views of a split once its pixels are gone."""

    name: str
    cameras: Scene  # without pixels
    thumbnails: list[list[np.ndarray]]  # per view and level, uint8 [h, w, 3], on white; each half as large as the last
    brightness: np.ndarray  # [V] in [0, 1], mean of the colours, weighted by alpha
    contrast: np.ndarray  # [V] in [0, 1], between the extremes of a channel of the image on white
    digests: list[str]  # per view, of its pixels at full resolution
    facts: dict[str, Any]
    silhouettes: list[np.ndarray] = field(default_factory=list)  # per view, as of `silhouette_of`; none without alpha


def summarise_split(name: str, scene: Scene) -> Split:
    """Keep of `scene` what an inspection needs; `scene` has all its levels."""
    entries = [np.flatnonzero(scene.views == view) for view in np.unique(scene.views)]
    looks = parallel(lambda of_view: look_at_view(scene, of_view), entries)
    full = scene.at_level(0)
    return Split(
        name=name,
        cameras=cameras_of(scene),
        thumbnails=[look["thumbnails"] for look in looks],
        brightness=np.array([look["brightness"] for look in looks]),
        contrast=np.array([look["contrast"] for look in looks]),
        digests=[look["digest"] for look in looks],
        facts={
            "views": full.num_views,
            "levels": [sizes_of(scene.at_level(int(level))) for level in np.unique(scene.levels)],
            "alpha": has_alpha(full),
            "transparent": float(np.mean([look["transparent"] for look in looks])) if has_alpha(full) else None,
            "max_value": scene.max_value,
            "masked": full.masked_share(),
        },
        silhouettes=[look["silhouette"] for look in looks] if has_alpha(full) else [],
    )


def look_at_view(scene: Scene, entries: np.ndarray) -> dict[str, Any]:
    """The figures of one view, whose levels are the `entries` of `scene`, and its small copies."""
    finest = scene.images[entries[0]]
    values = finest.astype(np.float32) / scene.max_value
    alpha = values[..., 3:] if finest.shape[-1] == 4 else np.ones_like(values[..., :1])
    on_white = values[..., :3] * alpha + (1 - alpha)
    return {
        "digest": hashlib.sha256(repr(finest.shape).encode() + finest.tobytes()).hexdigest(),
        "brightness": float((values[..., :3] * alpha).sum() / max(3 * alpha.sum(), 1e-6)),
        "contrast": float(np.ptp(on_white.reshape(-1, 3), axis=0).max()),
        "transparent": float((alpha < 0.5).mean()),
        "thumbnails": thumbnails(scene, entries),
        "silhouette": silhouette_of(finest, scene.masks[entries[0]] if scene.masks else None),
    }


def thumbnails(scene: Scene, entries: np.ndarray) -> list[np.ndarray]:
    """uint8 [h, w, 3] of each of the `entries`, on white: the first `THUMBNAIL` long, each other half of the last."""
    height, width = scene.images[entries[0]].shape[:2]
    share = THUMBNAIL / max(height, width)
    copies = []
    for i, entry in enumerate(entries):
        values = scene.images[entry] * np.float32(255 / scene.max_value)
        size = (max(1, round(width * share / 2**i)), max(1, round(height * share / 2**i)))
        if values.shape[-1] == 4:
            alpha = values[..., 3:] / 255
            values = values[..., :3] * alpha + 255 * (1 - alpha)
        # Pixels of a level that is small are shown as they are.
        method = Image.Resampling.NEAREST if size[0] > values.shape[1] else Image.Resampling.BOX
        copies.append(np.asarray(Image.fromarray(np.rint(values).astype(np.uint8)).resize(size, method)))
    return copies


def sizes_of(scene: Scene) -> dict[str, Any]:
    """Width and height of the views of one level, the most common one first where they differ."""
    sizes, counts = np.unique(np.stack([scene.widths, scene.heights], axis=1), axis=0, return_counts=True)
    return {"level": int(scene.levels[0]), "sizes": sizes[np.argsort(-counts)].tolist()}


def has_alpha(scene: Scene) -> bool:
    return any(image.shape[-1] == 4 for image in scene.images)
