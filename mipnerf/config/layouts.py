"""The layouts of captures: which files mark one, and hold its cameras.

Each is read by the module of its name in `mipnerf/datasets/captures/`, whose `read_photographs` takes the folder and
`DataConfig` and returns `Photographs`.
"""

from typing import NamedTuple

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0")  # where COLMAP's files are, first choice first
MODEL_FILES = ("cameras", "images", "points3D", "frames", "rigs")
MODEL_SUFFIXES = (".bin", ".txt")


class CaptureLayout(NamedTuple):
    """`markers`, relative to a scene, which has one of them; `files` are read besides JSON and images.

    These may be patterns and be in folders, such as `poses/*.txt`.
    """

    markers: tuple[str, ...]
    files: tuple[str, ...] = ()


# A folder that fits several is of the first, unless the dataset's `layout` says otherwise.
CAPTURES = {
    "transforms": CaptureLayout(("transforms.json",)),
    "colmap": CaptureLayout(
        markers=tuple(f"{folder}/cameras{suffix}" for folder in MODEL_FOLDERS for suffix in MODEL_SUFFIXES),
        files=tuple(f"{name}{suffix}" for name in MODEL_FILES for suffix in MODEL_SUFFIXES),
    ),
}

# A layout without cameras: these are found, and what comes of that is read like the layout colmap.
PHOTOS, FOUND = "photos", "colmap"
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts")
