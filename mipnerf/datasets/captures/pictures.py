"""Pictures without cameras, as they are in a folder: photographs or a video, made ready for structure from motion."""

import io
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from mipnerf.config.layouts import VIDEO_SUFFIXES
from mipnerf.datasets.captures.frames import JPEG_QUALITY, extract_frames
from mipnerf.datasets.images import DECODE_ERRORS, PHOTOGRAPHS, decode_image, is_deep, not_an_image
from mipnerf.datasets.layouts import IMAGE_SUFFIXES, OF_PHONES
from mipnerf.datasets.scene import parallel, read_bytes
from mipnerf.errors import DataError
from mipnerf.files import write_text

LEAST = 3  # pictures, of which one is a test view
RECORD = "pictures.json"
# What COLMAP reads as it is, beside images of 16 bits.
PLAIN_KINDS, PLAIN_MODES = ("JPEG", "PNG"), ("L", "RGB", "RGBA")


@dataclass
class Pictures:
    """Pictures in a folder, and where they come from."""

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # width and height by name
    origins: dict[str, str] = field(default_factory=dict)  # what each is called in the capture
    left_out: dict[str, str] = field(default_factory=dict)  # why, by what it is called there
    is_sequence: bool = False
    video_frames: int | None = None  # of the video that they are of


def make_pictures(source: Path, folder: Path, frames: int, workers: int) -> Pictures:
    """Put the photographs of the capture `source`, or `frames` of its video, into `folder`.

    A photograph is a hard link where COLMAP can read it; others are rewritten, and those with a note that they are to
    be turned (EXIF) are upright. Where there are at least three photographs, videos do not count. What was made once is
    not made again. Raises `DataError` where there is nothing, too little, or more than one video.
    """
    record = folder.parent / RECORD
    if record.exists():
        content = json.loads(record.read_text(encoding="utf-8"))
        return Pictures(**content | {"sizes": {name: tuple(size) for name, size in content["sizes"].items()}})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    photographs, videos = find_pictures(source)
    if len(photographs) >= LEAST or not videos:
        pictures = take_photographs(source, photographs, folder, workers)
    elif len(videos) > 1:
        names = ", ".join(video.name for video in videos)
        raise DataError(f"{source}: holds {len(videos)} videos ({names}); leave one, or give each a folder of its own")
    else:
        chosen, total = extract_frames(videos[0], frames, folder)
        pictures = Pictures(is_sequence=True, video_frames=total)
        for name in chosen:
            with Image.open(folder / name) as image:
                pictures.sizes[name], pictures.origins[name] = image.size, name
    if len(pictures.sizes) < LEAST:
        reasons = "".join(f"; {name} {why}" for name, why in list(pictures.left_out.items())[:3])
        raise DataError(
            f"{source}: {len(pictures.sizes)} picture{'s' * (len(pictures.sizes) != 1)}, and cameras are found from at "
            f"least {LEAST}{reasons}; 30 to 100 that overlap are usual"
        )
    write_text(record, json.dumps(asdict(pictures)))
    return pictures


def find_pictures(source: Path) -> tuple[list[Path], list[Path]]:
    """The photographs and videos below `source`, sorted; `DataError` where there is neither."""
    files = [path for path in sorted(source.rglob("*")) if not path.name.startswith(".") and path.is_file()]
    photographs = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not photographs and not videos:
        others = [path.name for path in files if path.suffix.lower() in OF_PHONES]
        hint = f"; {others[0]} and the like are to be exported as JPEG first" if others else ""
        raise DataError(
            f"{source}: holds no photograph ({', '.join(IMAGE_SUFFIXES)}) and no video "
            f"({', '.join(VIDEO_SUFFIXES)}){hint}"
        )
    return photographs, videos


def take_photographs(source: Path, paths: list[Path], folder: Path, workers: int) -> Pictures:
    """Put the photographs `paths` into `folder`; those that cannot be read are left out."""
    pictures = Pictures()
    names = unique_names([path.relative_to(source).as_posix() for path in paths])

    def take(pair: tuple[Path, str]) -> tuple[str, tuple[int, int]] | DataError:
        try:
            return take_photograph(*pair)
        except DataError as error:
            return error

    def take_photograph(path: Path, stem: str) -> tuple[str, tuple[int, int]]:
        data = read_bytes(path)
        try:
            with Image.open(io.BytesIO(data), formats=PHOTOGRAPHS) as image:
                has_depth = is_deep(image, data)
                is_plain = has_depth or (image.format in PLAIN_KINDS and image.mode in PLAIN_MODES)
                is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
                if is_turned and not has_depth:  # which would be lost
                    upright = ImageOps.exif_transpose(image).convert("RGB")
                    upright.save(folder / f"{stem}.jpg", quality=JPEG_QUALITY, subsampling=0)
                    return f"{stem}.jpg", upright.size
        except DECODE_ERRORS as error:
            raise not_an_image(data, path, error) from None
        pixels = decode_image(data, path, modes=("RGB", "RGBA"))
        name = f"{stem}{path.suffix.lower()}" if is_plain else f"{stem}.png"
        if is_plain:
            link_or_copy(path, folder / name)
        else:
            Image.fromarray(pixels).save(folder / name)
        return name, (pixels.shape[1], pixels.shape[0])

    results = parallel(take, zip(paths, names, strict=True), workers, progress="photographs")
    for path, result in zip(paths, results, strict=True):
        origin = path.relative_to(source).as_posix()
        if isinstance(result, DataError):
            pictures.left_out[origin] = str(result).removeprefix(f"{path}: ")
        else:
            name, pictures.sizes[name] = result[0], result[1]
            pictures.origins[name] = origin
    return pictures


def unique_names(names: list[str]) -> list[str]:
    """A name without folders, blanks and ending for each, as lists of COLMAP need it; in the same order."""
    taken: set[str] = set()
    result = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.splitext(name)[0])
        while stem.casefold() in taken:
            stem += "_"
        taken.add(stem.casefold())
        result.append(stem)
    return result


def link_or_copy(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
