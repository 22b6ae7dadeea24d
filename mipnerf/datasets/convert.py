"""The multiscale Blender dataset of mip-NeRF: every image at full, 1/2, 1/4 and 1/8 resolution, and metadata.json.

Pixels and metadata equal those of google/mipnerf (scripts/convert_blender_data.py): 2x2 means of straight-alpha RGBA,
chained in float32, each level truncated (not rounded) to 8 bits. Beside them is manifest.json, a small file that
changes whenever the data do: digests of metadata.json and of the pixels of each split.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mipnerf.datasets.blender import FAR, NEAR, SPLITS, BlenderSplit, read_transforms
from mipnerf.datasets.images import check_size, decode_png
from mipnerf.datasets.scene import cropped, parallel, pinhole_pix2cam, read_bytes
from mipnerf.errors import ConfigError, DataError
from mipnerf.files import atomic_folder, write_text

PNG_LEVEL = 1  # zlib's fastest: half the time of the default for a tenth more bytes


def convert_to_multiscale(source: Path, target: Path, num_levels: int = 4, workers: int | None = None) -> None:
    """Write the multiscale form of the Blender scene `source` to the folder `target`, which is replaced as a whole.

    All images need to be 8-bit RGBA of one size. Where that is no multiple of 2**(num_levels - 1), pixels are lost at
    the right and the bottom, and the others still look where they did. Raises `DataError` for a bad scene, and
    `ConfigError` for `num_levels` below 1; `target` is then as it was before. At most `workers` images (default: one a
    CPU) are in memory.
    """
    if num_levels < 1:
        raise ConfigError(f"levels must be at least 1, found {num_levels}")
    splits = {split: read_transforms(source, split) for split in SPLITS}
    width, height = scene_size(splits["train"].paths[0], num_levels)
    refuse_foreign_files(target)
    try:
        write_levels(splits, target, width, height, num_levels, workers)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error})") from None


def write_levels(
    splits: dict[str, BlenderSplit], target: Path, width: int, height: int, num_levels: int, workers: int | None
) -> None:
    """Write all levels of all images, then metadata.json and manifest.json, as a whole."""
    with atomic_folder(target) as temporary:
        for split in splits:
            (temporary / f"images_{split}").mkdir()
        views = [(path, split, i) for split, data in splits.items() for i, path in enumerate(data.paths)]

        def save(image: np.ndarray, name: str) -> None:
            Image.fromarray(image).save(temporary / name, compress_level=PNG_LEVEL)

        def convert(view: tuple[Path, str, int]) -> bytes:
            path, split, i = view
            data = read_bytes(path)
            pixels = decode_png(data, path, modes=["RGBA"])
            check_size(pixels, path, width, height)
            kept = cropped(pixels, 2 ** (num_levels - 1))
            if kept.shape == pixels.shape:
                # Full resolution stays the very file: x / 255 * 255 gives back every byte.
                (temporary / level_name(split, i, 0)).write_bytes(data)
            else:
                save(kept, level_name(split, i, 0))
            levels = coarser_levels(kept, num_levels)
            for level, image in enumerate(levels, start=1):
                save(image, level_name(split, i, level))
            return digest_of([np.ascontiguousarray(kept), *levels])

        digests = parallel(convert, views, workers, progress="convert")
        metadata = {split: split_metadata(data, split, width, height, num_levels) for split, data in splits.items()}
        text = json.dumps(metadata, indent=4)
        write_text(temporary / "metadata.json", text)
        sums = {"metadata.json": digest_of([text.encode()])} | {
            f"images_{name}": digest_of([d for d, (_, split, _) in zip(digests, views, strict=True) if split == name])
            for name in splits
        }
        manifest = {"sha256": {name: digest.hex() for name, digest in sums.items()}}
        write_text(temporary / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def digest_of(parts: Iterable[bytes | np.ndarray]) -> bytes:
    """SHA-256 of all `parts`, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.data)
    return digest.digest()


def coarser_levels(pixels: np.ndarray, num_levels: int) -> list[np.ndarray]:
    """Levels 1 .. num_levels - 1 of the uint8 image [H, W, C]: uint8, each half as wide and high as the one before."""
    image = np.divide(pixels, 255, dtype=np.float32)
    levels = []
    for _ in range(1, num_levels):
        # In this order the float32 sums round as those of a mean over both axes, in a fifth of the time.
        image = (image[::2, ::2] + image[::2, 1::2] + image[1::2, ::2] + image[1::2, 1::2]) / 4
        levels.append((image * 255).astype(np.uint8))
    return levels


def split_metadata(data: BlenderSplit, split: str, width: int, height: int, num_levels: int) -> dict[str, list[Any]]:
    """One split of metadata.json: a list a key, with the levels of a view one after the other.

    `width` and `height` are those of the source, whose image plane and middle stay those of the cameras.
    """
    coarsest = num_levels - 1
    entries = [
        {
            "file_path": level_name(split, i, level),
            "cam2world": camtoworld.tolist(),
            "width": width >> coarsest << coarsest >> level,
            "height": height >> coarsest << coarsest >> level,
            "focal": data.focal(width) / 2**level,
            "label": level,
            "near": NEAR,
            "far": FAR,
            "lossmult": 4.0**level,
        }
        for i, camtoworld in enumerate(data.camtoworlds)
        for level in range(num_levels)
    ]
    for entry in entries:
        scale = 2 ** entry["label"]
        entry["pix2cam"] = pinhole_pix2cam(entry["focal"], width / scale, height / scale).tolist()
    return {key: [entry[key] for entry in entries] for key in entries[0]}


def level_name(split: str, view: int, level: int) -> str:
    return f"images_{split}/{view:03d}_d{level}.png"


def scene_size(path: Path, num_levels: int) -> tuple[int, int]:
    """Width and height of the first image, which all others have to share."""
    height, width = decode_png(read_bytes(path), path, modes=["RGBA"]).shape[:2]
    least = 2 ** (num_levels - 1)
    if min(width, height) < least:
        raise DataError(
            f"{path}: image is {width} x {height} pixels; for {num_levels} levels both must be at least {least}"
        )
    return width, height


def refuse_foreign_files(target: Path) -> None:
    """`DataError` if replacing the folder `target` would delete what no conversion has written."""
    known = {"metadata.json", "manifest.json", *(f"images_{split}" for split in SPLITS)}
    foreign = sorted(entry.name for entry in target.iterdir() if entry.name not in known) if target.is_dir() else []
    if foreign or target.is_file():
        raise DataError(
            f"{target} would be replaced, but holds {foreign[:3] or 'a file'}; name a folder for this alone"
        )
