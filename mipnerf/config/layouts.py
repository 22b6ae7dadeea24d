"""The layouts of captures: which files mark one, and hold its cameras.

Each is read by the module of its name in `mipnerf/datasets/captures/`, whose `read_photographs` takes the folder and
`DataConfig` and returns `Photographs`.
"""

from typing import NamedTuple

# Where the files of a COLMAP model are, first choice first, and the photographs of such a model; N is any number.
MODEL_PLACES = {
    "sparse/N": ("images", "input"),
    "sparse": ("images", "input"),
    "colmap/sparse/N": ("images", "input"),
    "dense/N/sparse": ("dense/N/images",),  # undistorted, as their cameras are
    "dense/sparse": ("dense/images",),
    "distorted/sparse/N": ("input",),
}
MODEL_FILES = ("cameras", "images", "points3D", "frames", "rigs")
MODEL_SUFFIXES = (".bin", ".txt")


class CaptureLayout(NamedTuple):
    """`markers`, relative to a scene, which has one of them; `files` are read besides JSON and images.

    Both may be patterns and be in folders, such as `poses/*.txt`.
    """

    markers: tuple[str, ...]
    files: tuple[str, ...] = ()


# A folder that fits several is of the first, unless the dataset's `layout` says otherwise.
CAPTURES = {
    "transforms": CaptureLayout(("transforms.json",)),
    "colmap": CaptureLayout(
        markers=tuple(
            f"{place.replace('N', '[0-9]*')}/cameras{suffix}" for place in MODEL_PLACES for suffix in MODEL_SUFFIXES
        ),
        files=tuple(f"{name}{suffix}" for name in MODEL_FILES for suffix in MODEL_SUFFIXES),
    ),
}

# A layout without cameras: these are found, and what comes of that is read like the layout colmap.
PHOTOS, FOUND = "photos", "colmap"
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts")
