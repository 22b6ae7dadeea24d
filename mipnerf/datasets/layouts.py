"""Where a scene is in a folder or archive, whatever its layout, and which of its files can be read.

Free of numpy: parsing the workflow asks here.
"""

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mipnerf.config.layouts import CAPTURES, VIDEO_SUFFIXES
from mipnerf.datasets.fetching.archives import Member, is_litter
from mipnerf.errors import DataError

MANIFEST = "manifest.json"  # what was fetched, beside it
ORIGIN = ".origin.json"  # and where it came from
BLENDER_MARKER, LLFF_MARKER = "transforms_train.json", "poses_bounds.npy"
SCENE_MARKERS = (BLENDER_MARKER, LLFF_MARKER, *(marker for layout in CAPTURES.values() for marker in layout.markers))
LONGEST_FIRST = sorted(SCENE_MARKERS, key=lambda name: name.count("/"), reverse=True)  # colmap/sparse/0 before sparse/0
MARKER_FILES = {PurePosixPath(marker).name for marker in SCENE_MARKERS}
MARKER_NAMES = ", ".join(SCENE_MARKERS[:4]).replace("[0-9]*", "0") + " ..."
OF_PHONES = (".heic", ".heif")  # which Pillow does not read
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
_FILES = [LLFF_MARKER, *(name for layout in CAPTURES.values() for name in layout.files)]
_CAMERA_FILE = re.compile(f"(?:.*/)?(?:{'|'.join(map(fnmatch.translate, _FILES))})")


def is_scene(folder: Path) -> bool:
    """Whether `folder` holds a scene in the layout of Blender, LLFF or a capture."""
    return has_marker(folder, SCENE_MARKERS)


def has_marker(folder: Path, markers: Iterable[str]) -> bool:
    """Whether a file in `folder` has one of the names `markers`, which may be patterns."""
    return any(True for marker in markers for _ in folder.glob(marker))


def scenes_of_file(name: str) -> list[PurePosixPath]:
    """The folders of which the file `name` (POSIX, relative) can mark a scene, the most likely first.

    That is the outermost one: `desk/dense/sparse/cameras.bin` is of `desk`, or of `desk/dense`.
    """
    path = PurePosixPath(name)
    if path.name not in MARKER_FILES:  # nearly all, in an archive of many
        return []
    found = (path.parents[marker.count("/")] for marker in LONGEST_FIRST if path.match(marker))
    return list(dict.fromkeys(found))


def is_read(name: str) -> bool:
    """Whether a layout may read the file `name` (relative to the scene): cameras, images, masks; nothing hidden."""
    path = PurePosixPath(name)
    if is_litter(name) or name == MANIFEST or any(part.startswith(".") for part in path.parts):
        return False
    return path.suffix.lower() in (".json", *IMAGE_SUFFIXES, *VIDEO_SUFFIXES) or _CAMERA_FILE.match(name) is not None


def find_scene(members: list[Member], scene: str, source: Path, are_photos: bool = False) -> PurePosixPath:
    """The folder of `scene` inside `source`; `DataError` listing what is there if it is not exactly one.

    Where `are_photos`, it needs no cameras: photographs or a video in it will do, or the scene is a video itself.
    """
    if are_photos:
        return find_photos(members, scene, source)
    marked = [places for m in members if (places := scenes_of_file(m.name))]
    folders = sorted({places[0] for places in marked})
    parts = sorted({folder for places in marked for folder in places[1:]})
    top = source.resolve().name if source.is_dir() else ""
    # Last a part of a scene, such as what COLMAP has undistorted, where that is what is named.
    for candidates in (folders, parts):
        matches = [folder for folder in candidates if (folder.name or top) == scene]
        matches = matches or [folder for folder in candidates if (folder.name or top).casefold() == scene.casefold()]
        if matches:
            break
    if not matches and folders == [PurePosixPath()]:
        matches = folders
    if len(matches) == 1:
        return matches[0]
    found = ", ".join(str(folder) if folder.name else f"{top or '.'} (the top)" for folder in matches or folders)
    count = f"{len(matches)} scenes" if matches else "no scene"
    hint = "; ".join(f"{m.name} {m.defect}" for m in members if m.defect and PurePosixPath(m.name).name == scene)
    raise DataError(
        f"{source}: {count} named {scene!r} (a folder of that name with one of {MARKER_NAMES}); "
        f"found: {found or 'none at all'}{'; ' + hint if hint else ''}"
    )


def find_photos(members: list[Member], scene: str, source: Path) -> PurePosixPath:
    """The folder of photographs or the video called `scene`; the whole of `source` where that is all there is."""
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    taken = (*suffixes, *OF_PHONES)  # the last are refused where they are to be used, which says why
    files = [PurePosixPath(m.name) for m in members if PurePosixPath(m.name).suffix.lower() in taken]
    parents = {parent for file in files for parent in file.parents if parent.name.casefold() == scene.casefold()}
    folders = sorted(path for path in parents if not parents.intersection(path.parents))
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    matches = folders or [video for video in videos if video.stem.casefold() == scene.casefold()]
    if not matches and source.is_file() and len(files) == len(videos) == 1:
        matches = videos
    is_whole = source.is_dir() and source.resolve().name.casefold() == scene.casefold()
    if not matches and files and (is_whole or all(len(file.parts) == 1 for file in files)):
        return PurePosixPath()
    if len(matches) == 1:
        return matches[0]
    found = ", ".join(sorted(map(str, matches)) or sorted({str(file.parent) for file in files})[:10])
    raise DataError(
        f"{source}: {len(matches) or 'no'} scene{'s' * (len(matches) > 1)} named {scene!r} (a folder of that name "
        f"with photographs or a video, or a video of that name: {', '.join(suffixes)}); found: {found or 'none at all'}"
    )


def scene_members(members: list[Member], folder: PurePosixPath) -> dict[str, Member]:
    """The members below `folder` by their name relative to it, but what was written by fetching.

    The cameras of Blender scenes name images without their ending, which is .png then, whoever wrote .PNG. Raises
    `DataError` if a name occurs twice.
    """
    is_blender = any(PurePosixPath(member.name) == folder / BLENDER_MARKER for member in members)
    chosen: dict[str, Member] = {}
    for member in members:
        if PurePosixPath(member.name).is_relative_to(folder):
            path = name_below(member.name, folder)
            name = str(path.with_suffix(".png") if is_blender and path.suffix == ".PNG" else path)
            if name in chosen:
                raise DataError(f"{member} occurs twice; pack the archive anew")
            chosen[name] = member
    return {name: member for name, member in chosen.items() if name not in (MANIFEST, ORIGIN)}


def name_below(name: str, folder: PurePosixPath) -> PurePosixPath:
    """`name` relative to `folder`, which may be the file itself: a video."""
    path = PurePosixPath(name).relative_to(folder)
    return path if path.parts else PurePosixPath(folder.name)


def check_members(members: dict[str, Member]) -> None:
    """`DataError` for the first member that is no plain file, or stands where another needs a folder."""
    for name, member in members.items():
        if member.defect:
            raise DataError(f"{member} {member.defect}; only plain files can be taken")
        for parent in PurePosixPath(name).parents:
            if str(parent) in members:
                raise DataError(f"{members[str(parent)]} is both a file and a folder; pack the archive anew")


def refuse_to_replace(target: Path) -> None:
    """`DataError` if making the scene `target` anew would delete files that are no scene's."""
    if target.is_file() or (
        target.is_dir() and any(target.iterdir()) and not is_scene(target) and not (target / ORIGIN).exists()
    ):
        raise DataError(f"{target} would be replaced, but holds no scene; name a folder for this scene alone")
