"""Structure from motion by pycolmap: from pictures to the cameras that took them, and points that these saw.

Everything that is found on the way is in one database, image by image and pair by pair, so that a process which was
killed leaves its work to the next. Random numbers have fixed seeds.
"""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mipnerf.config import DataConfig
from mipnerf.errors import DataError
from mipnerf.files import write_text

log = logging.getLogger(__name__)
Pair = tuple[str, str]
SEED = 0
MAX_SIDE = 1600  # pixels of the longer side of a picture in which features are looked for; larger ones are shrunk
MAX_FEATURES = 4096  # of a picture: the time of a pair grows with their square
IMAGES_AT_ONCE, PAIRS_AT_ONCE = 4, 100  # between two looks at signals, and two steps of the progress
MAX_EXHAUSTIVE = 150  # pictures; beyond, pairs grow faster than what they add
MAX_RATIO = 0.7  # of the distance of a feature to its match to that of the next best: less than usual, as walls repeat
MAX_TRIALS = 1000  # random samples that tell how two pictures lie: ten times as many find no more
MAX_ERROR = 2.0  # pixels at `MAX_SIDE` between a point and where it is seen
REFINEMENTS = 3  # after each of which this is asked
MIN_ANGLE = 1.5  # degrees between the rays of a point
NEIGHBOURS, KEYFRAMES = 10, 5  # of a sequence: how far apart pairs are, and how many frames there are to a key frame
MIN_FEATURES = 50  # of the usual picture: with less, there is nothing to go by
MIN_MODEL = 3  # images
OVERLAP = (
    "neighbouring pictures must show mostly the same, from places that differ: walk around the scene, do not just turn"
)


@dataclass(frozen=True)
class Found:
    """What the largest model says, and what else there was."""

    reconstruction: Any  # of pycolmap
    registered: list[str]
    models: list[int]  # images of every model, largest first
    features: dict[str, int]
    matched: dict[str, int]  # pictures with which each shares enough
    elsewhere: dict[str, int]  # of pictures in other models only, how many that one has


def quiet() -> Any:
    """The module pycolmap, which only tells of errors."""
    import pycolmap

    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    pycolmap.set_random_seed(SEED)
    return pycolmap


def find_structure(
    images: Path,
    sizes: dict[str, tuple[int, int]],
    is_sequence: bool,
    work: Path,
    data: DataConfig,
    threads: int,
    where: str,
) -> Found:
    """Find the cameras of the pictures in the folder `images`, whose names and sizes (width, height) are given.

    `work` keeps the database; pictures and pairs that it has are not looked at again. `is_sequence` says that pictures
    follow each other by name, as the frames of a video do. At most `threads` are used. `where` begins messages.

    Raises `DataError` where pictures have no features, or no model of at least three comes of them.
    """
    database = work / "database.db"
    discard_if_damaged(database)
    names = sorted(sizes)
    add_images(database, images, sizes, data)
    extract_features(database, images, names, threads)
    features = {name: count_of_features(database, name) for name in names}
    if (usual := float(np.median(list(features.values())))) < MIN_FEATURES:
        raise DataError(
            f"{where}: no texture: the usual picture has {usual:.0f} points that can be found again, and "
            f"{MIN_FEATURES} are the least; take sharp, well lit pictures of something with a pattern"
        )
    match_pairs(database, work, pairs_of(names, is_sequence, data), threads)
    matched = count_matched(database)
    models = map_models(database, images, work, len(names), threads)
    if not models:
        raise DataError(
            f"{where}: no cameras were found: no {MIN_MODEL} of the {len(names)} pictures fit together; {OVERLAP}"
        )
    refine(models[0], threads)
    members = [sorted(model.image(i).name for i in model.reg_image_ids()) for model in models]
    return Found(
        reconstruction=models[0],
        registered=members[0],
        models=[len(model) for model in members],
        features=features,
        matched={name: matched.get(name, 0) for name in names},
        elsewhere={name: len(model) for model in members[:0:-1] for name in model if name not in members[0]},
    )


def discard_if_damaged(database: Path) -> None:
    """Remove a database that a crash of the machine has spoilt; one of a killed process is whole."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database)) as connection:
            is_whole = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        is_whole = False
    if not is_whole:
        log.warning("%s is damaged; features and matches are computed anew", database)
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()


def add_images(database: Path, images: Path, sizes: dict[str, tuple[int, int]], data: DataConfig) -> None:
    """Make the database know all pictures and their cameras: one a size, or one a picture."""
    pycolmap = quiet()
    with pycolmap.Database.open(database) as known:
        cameras: dict[Any, int] = {}
        for image in known.read_all_images():
            cameras.setdefault(sizes[image.name], image.camera_id)
        for name in sorted(sizes):
            if known.exists_image(name):
                continue
            key = sizes[name] if data.shared_camera else name
            if key not in cameras:
                cameras[key] = known.write_camera(first_camera(images / name, sizes[name], data.camera_model))
                rig = pycolmap.Rig(rig_id=cameras[key])
                rig.add_ref_sensor(pycolmap.sensor_t(type=pycolmap.SensorType.CAMERA, id=cameras[key]))
                known.write_rig(rig, use_rig_id=True)
            image = pycolmap.Image(name=name, camera_id=cameras[key])
            image.image_id = known.write_image(image)
            frame = pycolmap.Frame(frame_id=image.image_id, rig_id=cameras[key])
            frame.add_data_id(image.data_id)
            known.write_frame(frame, use_frame_id=True)


def first_camera(path: Path, size: tuple[int, int], model: str) -> Any:
    """The camera that mapping begins with: the focal length of the picture's note (EXIF), or a usual one."""
    pycolmap = quiet()
    guess = pycolmap.infer_camera_from_image(path)
    camera = pycolmap.Camera.create_from_model_name(0, model, guess.mean_focal_length(), *size)
    camera.has_prior_focal_length = guess.has_prior_focal_length
    return camera


def extract_features(database: Path, images: Path, names: Sequence[str], threads: int) -> None:
    """SIFT features of all pictures that have none yet."""
    pycolmap = quiet()
    options = pycolmap.FeatureExtractionOptions(num_threads=threads, max_image_size=MAX_SIDE, use_gpu=False)
    options.sift.max_num_features = MAX_FEATURES
    with pycolmap.Database.open(database) as known:
        ids = {image.name: image.image_id for image in known.read_all_images()}
        cameras = {image.name: image.camera_id for image in known.read_all_images()}
        left = [name for name in names if not known.exists_descriptors(ids[name])]
    if len(left) < len(names):
        log.info("features of %d of %d pictures are there", len(names) - len(left), len(names))
    with tqdm(total=len(names), initial=len(names) - len(left), desc="features", disable=None) as progress:
        for chunk in chunks(left, max(IMAGES_AT_ONCE, threads)):
            for camera in sorted({cameras[name] for name in chunk}):
                of_camera = [name for name in chunk if cameras[name] == camera]
                reader = pycolmap.ImageReaderOptions(existing_camera_id=camera)
                pycolmap.extract_features(
                    database, images, of_camera, pycolmap.CameraMode.SINGLE, reader, options, pycolmap.Device.cpu
                )
            progress.update(len(chunk))


def count_of_features(database: Path, name: str) -> int:
    """Features of one picture; 0 where it could not be read."""
    with quiet().Database.open(database) as known:
        image = known.read_image_with_name(name)
        return int(known.num_keypoints_for_image(image.image_id))


def pairs_of(names: Sequence[str], is_sequence: bool, data: DataConfig) -> list[Pair]:
    """Pairs of `names`, sorted, that are to be matched: all, or of a sequence those that are likely to have something.

    These are neighbours, both ends of the sequence among each other, and key frames with each other, so that a way that
    comes back to where it was is noticed.
    """
    count = len(names)
    matching = data.matching
    if matching == "auto":
        matching = "sequential" if is_sequence or count > MAX_EXHAUSTIVE else "exhaustive"
    chosen = set(combinations(range(count), 2))
    if matching == "sequential":
        chosen = {
            (i, j)
            for i, j in chosen
            if min(j - i, count - (j - i)) <= NEIGHBOURS or (i % KEYFRAMES == 0 and j % KEYFRAMES == 0)
        }
    return [(names[i], names[j]) for i, j in sorted(chosen)]


def match_pairs(database: Path, work: Path, pairs: Sequence[Pair], threads: int) -> None:
    """Match and verify all `pairs` that were not yet."""
    pycolmap = quiet()
    # What fits the geometry of a pair is looked for once more, with what repeats told apart by its place.
    options = pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False, guided_matching=True)
    options.sift.max_ratio = MAX_RATIO
    geometry = pycolmap.TwoViewGeometryOptions()
    geometry.ransac.random_seed = SEED
    geometry.ransac.max_num_trials = MAX_TRIALS
    with pycolmap.Database.open(database) as known:
        ids = {image.name: image.image_id for image in known.read_all_images()}
        left = [(a, b) for a, b in pairs if not known.exists_two_view_geometry(ids[a], ids[b])]
    if len(left) < len(pairs):
        log.info("matches of %d of %d pairs are there", len(pairs) - len(left), len(pairs))
    listed = work / "pairs.txt"
    with tqdm(total=len(pairs), initial=len(pairs) - len(left), desc="matches", disable=None) as progress:
        for chunk in chunks(left, PAIRS_AT_ONCE):
            write_text(listed, "".join(f"{a} {b}\n" for a, b in chunk))
            pairing = pycolmap.ImportedPairingOptions(match_list_path=listed)
            pycolmap.match_image_pairs(database, options, pairing, geometry, pycolmap.Device.cpu)
            progress.update(len(chunk))


def count_matched(database: Path) -> dict[str, int]:
    """With how many others each picture was verified to share something."""
    pycolmap = quiet()
    with pycolmap.Database.open(database) as known:
        names = {image.image_id: image.name for image in known.read_all_images()}
        pairs, inliers = known.read_two_view_geometry_num_inliers()
    counts: dict[str, int] = {}
    for pair, inlier in zip(pairs, inliers, strict=True):
        for image_id in pycolmap.pair_id_to_image_pair(pair) if inlier else ():
            counts[names[image_id]] = counts.get(names[image_id], 0) + 1
    return counts


def map_models(database: Path, images: Path, work: Path, count: int, threads: int) -> list[Any]:
    """The models of pycolmap's incremental mapping, largest first."""
    pycolmap = quiet()
    options = pycolmap.IncrementalPipelineOptions(
        num_threads=threads, random_seed=SEED, min_model_size=MIN_MODEL, extract_colors=False
    )
    output = work / "models"
    output.mkdir(exist_ok=True)
    with tqdm(total=count, desc="cameras", disable=None) as progress:
        models = pycolmap.incremental_mapping(
            database, images, output, options, next_image_callback=lambda: progress.update() and None
        )
    found = [model for model in models.values() if model.num_reg_images() >= MIN_MODEL]
    return sorted(found, key=lambda model: (-model.num_reg_images(), -model.num_points3D()))


def refine(model: Any, threads: int) -> None:
    """Adjust all cameras and points by what is seen exactly; what mapping needed to get there may be too far off."""
    pycolmap = quiet()
    side = max(max(camera.width, camera.height) for camera in model.cameras.values())
    options, adjustment = pycolmap.BundleAdjustmentOptions(), pycolmap.BundleAdjustmentConfig()
    options.ceres.solver_options.num_threads = threads
    for image_id in model.reg_image_ids():
        adjustment.add_image(image_id)
    adjustment.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for _ in range(REFINEMENTS):
        observations = pycolmap.ObservationManager(model)
        observations.filter_all_points3D(MAX_ERROR * max(1.0, side / MAX_SIDE), MIN_ANGLE)
        pycolmap.create_default_bundle_adjuster(options, adjustment, model).solve()
    model.update_point_3d_errors()


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
