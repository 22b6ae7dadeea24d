"""What is suspicious about a scene, each in one sentence that says what it will do to a training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mipnerf.config import RunConfig
from mipnerf.datasets.scene import Scene
from mipnerf.inspection import cameras
from mipnerf.inspection.images import Split
from mipnerf.inspection.mistakes import MISTAKE_CHECKS
from mipnerf.inspection.silhouettes import object_box

SHOWN_VIEWS = 4
ORTHONORMAL_TOLERANCE = 1e-3
SAME_POSE = 1e-5  # of the distance of the farthest camera
ALIKE = 12  # of 255: mean difference of the pixels of pictures of the same
FOCAL_RATIO = 1.2  # of the largest focal length to the smallest
ONE_COLOUR = 1.5 / 255
OUTLIER_DEVIATIONS, OUTLIER_LEAST = 8.0, 0.12  # of brightness: robust standard deviations, and at least so much
LEAST_COVERAGE = 0.05  # of a test view's frustum, which two training views should see
LEAST_PAIRS = 0.1
SMALL_BASELINE = 1e-3  # distance of neighbours as a share of near
CUT_SHARE = 0.15  # of a side of the box that silhouettes leave


@dataclass(frozen=True)
class Finding:
    """A suspicion; `views` are the indices in the split that it is about, if it is about single ones."""

    message: str
    split: str = ""
    views: tuple[int, ...] = ()


def find_suspicious(splits: Sequence[Split], run: RunConfig) -> list[Finding]:
    """All findings; `splits` begin with that of training."""
    findings: list[Finding] = []
    for split in splits:
        for check in (check_rotations, check_repeated_poses, check_focal_lengths, check_repeated_images, check_images):
            findings += check(split)
    train, others = splits[0], splits[1:]
    findings += [Finding(message) for check in MISTAKE_CHECKS for message in check(train)]
    findings += check_alone(train)
    findings += check_box(train, run)
    for check_cameras in (check_bounds, check_neighbours, check_ndc):
        findings += check_cameras(train.cameras, run)
    for other in others:
        findings += check_between(train, other)
    return findings


def about(split: Split, is_bad: np.ndarray, message: Callable[[int], str]) -> Iterator[Finding]:
    """A finding about the views where `is_bad` [V] holds; `message` is given the number of them."""
    bad = tuple(np.flatnonzero(is_bad).tolist())
    if bad:
        yield Finding(f"{split.name}: {named_views(bad)} {message(len(bad))}", split.name, bad)


def named_views(views: Sequence[int]) -> str:
    """`view 3`, `views 3, 4 and 5 more`."""
    names = ", ".join(map(str, views[:SHOWN_VIEWS]))
    more = f" and {len(views) - SHOWN_VIEWS} more" if len(views) > SHOWN_VIEWS else ""
    return f"view{'s' if len(views) > 1 else ''} {names}{more}"


def plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def check_rotations(split: Split) -> Iterator[Finding]:
    """Mirrored, scaled or sheared cameras."""
    rotations = split.cameras.camtoworlds[:, :, :3]
    is_mirrored = np.linalg.det(rotations) < 0
    yield from about(
        split,
        is_mirrored,
        lambda n: (
            f"{plural(n, 'has', 'have')} a left-handed pose: the image is mirrored, or an axis of the camera points "
            "the other way (right, up and back are expected)"
        ),
    )
    products = rotations.swapaxes(1, 2) @ rotations
    is_skewed = np.abs(products - np.eye(3)).max(axis=(1, 2)) > ORTHONORMAL_TOLERANCE
    yield from about(
        split,
        is_skewed,
        lambda n: (
            f"{plural(n, 'has', 'have')} a pose whose axes are not of unit length and at right angles; near, far and "
            "the size of a pixel are then not what they seem"
        ),
    )


def check_repeated_poses(split: Split) -> Iterator[Finding]:
    """Cameras in one place with one direction."""
    distances, nearest = cameras.nearest_poses(split.cameras, split.cameras)
    is_repeated = distances < SAME_POSE
    is_alike = np.array([look_alike(split, view, other) for view, other in enumerate(nearest)])
    yield from about(
        split, is_repeated & is_alike, lambda n: "have the pose of another view of the split: one too many"
    )
    yield from about(
        split,
        is_repeated & ~is_alike,
        lambda n: (
            f"{plural(n, 'has', 'have')} the pose of another view of the split, but {plural(n, 'shows', 'show')} "
            "something else: were the poses written in another order than the images?"
        ),
    )


def look_alike(split: Split, view: int, other: int) -> bool:
    """Whether the small copies of two views of a split are about the same."""
    one, two = split.thumbnails[view][0], split.thumbnails[other][0]
    return one.shape == two.shape and float(np.abs(one - two.astype(np.float64)).mean()) < ALIKE


def check_focal_lengths(split: Split) -> Iterator[Finding]:
    """Zoom."""
    focal = cameras.focal_lengths(split.cameras) / split.cameras.widths
    if focal.max() > FOCAL_RATIO * focal.min():
        pixels = cameras.focal_lengths(split.cameras)
        yield Finding(
            f"{split.name}: focal lengths differ from {pixels.min():.4g} (view {pixels.argmin()}) to "
            f"{pixels.max():.4g} pixels (view {pixels.argmax()}); is one of them estimated wrongly?",
            split.name,
            (int(pixels.argmin()), int(pixels.argmax())),
        )


def check_repeated_images(split: Split) -> Iterator[Finding]:
    """One image under two names."""
    _, first, counts = np.unique(split.digests, return_inverse=True, return_counts=True)
    is_repeated = (counts[first] > 1) & (split.contrast > ONE_COLOUR)
    yield from about(split, is_repeated, lambda n: "show the very same pixels as another view of the split")


def check_images(split: Split) -> Iterator[Finding]:
    """Empty images, and some that are far darker or brighter than the rest."""
    is_empty = split.contrast < ONE_COLOUR
    yield from about(split, is_empty, lambda n: f"{plural(n, 'is', 'are')} of one colour all over")
    usual = np.median(split.brightness[~is_empty]) if not is_empty.all() else 0.0
    deviation = np.abs(split.brightness - usual)
    limit = max(
        OUTLIER_DEVIATIONS * 1.4826 * np.median(deviation[~is_empty]) if not is_empty.all() else 0, OUTLIER_LEAST
    )
    yield from about(
        split,
        ~is_empty & (deviation > limit),
        lambda n: (
            f"{plural(n, 'has', 'have')} another brightness than the rest, whose median is {usual:.2f} (0 to 1); "
            "a change of exposure becomes fog"
        ),
    )


def check_bounds(scene: Scene, run: RunConfig) -> Iterator[Finding]:
    """Near and far against what the cameras look at."""
    near, far = scene.nears.min(), scene.fars.max()
    if scene.ndc:
        return
    if near <= 0 and run.model.ray_shape == "cone":
        yield Finding(
            "near is 0: cones begin as points in the lens, where samples are wasted; set a positive data.near"
        )
    if cameras.viewing(scene) == "inward":
        contained, visible = cameras.contained_radius(scene), cameras.visible_radius(scene)
        if contained < visible:
            yield Finding(
                f"near {near:.4g} and far {far:.4g} cut through what the cameras look at: around the point in focus, "
                f"images show a sphere of radius {visible:.3g}, of which "
                + (f"{contained:.3g} lies between the bounds" if contained > 0 else "not even the middle is between")
                + "; set data.near and data.far"
            )
    shared = cameras.overlap(scene)
    if shared is not None and shared["pairs"] < LEAST_PAIRS:
        yield Finding(
            f"only {shared['pairs']:.0%} of the pairs of training cameras see something of each other's frustum "
            f"between near {near:.4g} and far {far:.4g}: are bounds and poses in the same units?"
        )


def box_to_suggest(train: Split, run: RunConfig) -> list[float] | None:
    """What silhouettes leave for the object, where transparent means background and `run` can have a `data.box`."""
    if not run.data.white_bkgd or run.model.ray_shape == "point" or run.model.contraction != "none":
        return None
    return object_box(train.cameras, train.silhouettes)


def check_box(train: Split, run: RunConfig) -> Iterator[Finding]:
    """The box of all samples against the silhouettes, which are coarse: it may be a little tighter than they say."""
    if run.data.box is None or (found := box_to_suggest(train, run)) is None:
        return
    needed, given = np.reshape(found, (2, 3)), np.reshape(run.data.box, (2, 3))
    beyond = np.maximum(given[0] - needed[0], needed[1] - given[1]) / (needed[1] - needed[0])
    if beyond.max() > CUT_SHARE:
        yield Finding(
            f"data.box {run.data.box} cuts off what silhouettes show within {found}: give a box that holds it, or null"
        )


def check_neighbours(scene: Scene, run: RunConfig) -> Iterator[Finding]:
    """Bounds against the distances between cameras."""
    distances = cameras.neighbour_distances(scene)
    if scene.ndc or not len(distances):
        return
    typical, near, far = np.median(distances), scene.nears.max(), scene.fars.min()
    if far <= typical:
        yield Finding(
            f"far {far:.4g} does not even reach the next camera, typically {typical:.4g} away: are bounds and poses in "
            "the same units?"
        )
    if near > 0 and distances.max() < SMALL_BASELINE * near:
        yield Finding(
            f"cameras are at most {distances.max():.3g} apart from the next one, which is nothing against near "
            f"{near:.4g}: depth cannot be told; are bounds and poses in the same units?"
        )


def check_alone(train: Split) -> Iterator[Finding]:
    """Single views that have nothing in common with the rest."""
    is_alone = cameras.is_alone(train.cameras)
    if is_alone.mean() < 0.5:  # else all of them are, which another check says
        yield from about(
            train,
            is_alone,
            lambda n: (
                f"{plural(n, 'sees', 'see')} nothing of what the other views see between near and far; "
                f"{plural(n, 'is its pose', 'are their poses')} right?"
            ),
        )


def check_ndc(scene: Scene, run: RunConfig) -> Iterator[Finding]:
    """What normalised device coordinates cannot express."""
    if not scene.ndc:
        return
    beyond = np.flatnonzero(cameras.positions(scene)[:, 2] <= -cameras.NDC_NEAR)
    if len(beyond):
        yield Finding(
            f"train: {named_views(beyond.tolist())} stand beyond the near plane of NDC, which is before the nearest "
            "point that any camera saw; are the bounds in poses_bounds.npy right?",
            "train",
            tuple(beyond.tolist()),
        )
    width, height = scene.widths[:, None], scene.heights[:, None]
    corners = np.stack([width * [0, 1, 0, 1], height * [0, 0, 1, 1], np.ones((scene.num_views, 4))], axis=1)
    depth = np.einsum("vj,vjk,vkp->vp", scene.camtoworlds[:, 2, :3], scene.pix2cams, corners)
    backward = np.flatnonzero((depth >= 0).any(axis=1))
    if len(backward):
        yield Finding(
            f"train: {named_views(backward.tolist())} have rays that never meet the near plane of NDC; cameras that "
            "turn so far need data.spherify",
            "train",
            tuple(backward.tolist()),
        )


def check_between(train: Split, other: Split) -> Iterator[Finding]:
    """Views that are in two splits, and views of what no training view shows."""
    distances, nearest = cameras.nearest_poses(other.cameras, train.cameras)
    is_same = distances < SAME_POSE
    yield from about(
        other,
        is_same,
        lambda n: (
            f"{plural(n, 'has', 'have')} the pose of a training view (first: {nearest[is_same][0]}): "
            f"{other.name} does not measure new views"
        ),
    )
    known = set(np.array(train.digests)[train.contrast > ONE_COLOUR])
    is_known = np.array([digest in known for digest in other.digests])
    yield from about(
        other,
        is_known & ~is_same,
        lambda n: f"{plural(n, 'shows', 'show')} the pixels of a training view, but with another pose: poses are wrong",
    )
    covered = cameras.coverage(train.cameras, other.cameras)
    yield from about(
        other,
        covered < LEAST_COVERAGE,
        lambda n: (
            f"{plural(n, 'looks', 'look')} where at most one training view does (over {1 - LEAST_COVERAGE:.0%} of the "
            "frustum): the network cannot know what is there; are the poses in one frame?"
        ),
    )
