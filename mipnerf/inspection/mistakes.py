"""Classic mistakes in the cameras and photographs of captures, each in one sentence with what to do."""

from collections.abc import Iterator

import numpy as np

from mipnerf.datasets.captures.conventions import MISTAKES, guess_mistake
from mipnerf.datasets.scene import Scene
from mipnerf.inspection import cameras
from mipnerf.inspection.images import Split

OFF_CENTRE = 0.2  # of a side, of the principal point from the middle
SAME_RATIO = 0.05  # by which both sides have to say the same of an image of another size
NARROW, WIDE = 5.0, 140.0  # degrees of view of the longer side, which few lenses have
ABOVE = 0.3  # of their distance from the focus that cameras stand to one side of it, on average
UPSIDE_DOWN = -0.3  # cosine between up of the cameras and that side
OVERHEAD = -0.5  # cosine between up of a camera and the mean of all
AGREEING = 0.5  # length of that mean: there is an up
EXPOSURE = 2.2  # of the brightness of bright views to that of dark ones
MIN_VIEWS = 5  # for what is said of many


def check_convention(split: Split) -> Iterator[str]:
    """Poses that look at a common point only in another convention."""
    if not split.cameras.ndc and (mistake := guess_mistake(split.cameras.camtoworlds)):
        yield f"the cameras do not look at the point nearest to their axes, but {MISTAKES[mistake]}"


def check_up(split: Split) -> Iterator[str]:
    """Cameras that are upside down: all, or some against the rest."""
    scene = split.cameras
    ups, mean = scene.camtoworlds[:, :, 1], scene.camtoworlds[:, :, 1].mean(axis=0)
    if scene.num_views < MIN_VIEWS or np.linalg.norm(mean) < AGREEING or any(check_convention(split)):
        return
    turned = np.flatnonzero(ups @ mean / np.linalg.norm(mean) < OVERHEAD)
    if len(turned):
        yield (
            f"{len(turned)} of {scene.num_views} cameras are upside down against the rest (first: view {turned[0]}); "
            "were these photographs turned after their cameras were found?"
        )
    if not scene.ndc and cameras.viewing(scene) == "inward":
        offset = (cameras.positions(scene) - cameras.focus_point(scene)).mean(axis=0)
        distance = np.linalg.norm(cameras.positions(scene) - cameras.focus_point(scene), axis=-1).mean()
        side = np.linalg.norm(offset)
        if side > ABOVE * distance and mean @ offset / (side * np.linalg.norm(mean)) < UPSIDE_DOWN:
            yield (
                "all cameras are upside down, or the scene is seen from below: if it is not, negate the first and "
                "second column of the poses (x and y of the camera), or turn the photographs"
            )


def check_intrinsics(split: Split) -> Iterator[str]:
    """Focal lengths and principal points of an image of another size."""
    scene = split.cameras
    ratios = np.median(2 * principal_points(scene) / np.stack([scene.widths, scene.heights], axis=1), axis=0)
    if np.abs(ratios - 1).max() > 2 * OFF_CENTRE:
        yield f"the principal point is at {ratios[0] / 2:.0%} of the width and {ratios[1] / 2:.0%} of the height, " + (
            f"as in images {ratios.mean():.3g} times as large: state the width and height for which the cameras were "
            "found, and set data.camera_scale"
            if min(ratios) > 0 and abs(ratios[0] / ratios[1] - 1) < SAME_RATIO
            else "far from the middle: are cx and cy in pixels of these images?"
        )
    angle = float(np.median(cameras.fields_of_view(scene).max(axis=1)))
    if not NARROW <= angle <= WIDE:
        yield (
            f"the field of view is {angle:.3g} degrees, which hardly any lens has: is the focal length in pixels of "
            "images of this size?"
        )


def check_exposure(split: Split) -> Iterator[str]:
    """Brightness that goes up and down through the views."""
    lit = split.brightness[split.brightness > 0]
    if len(lit) < MIN_VIEWS:
        return
    dark, bright = np.percentile(lit, [10, 90])
    if bright > EXPOSURE * dark:
        yield (
            f"the brightness of the views goes from {dark:.2f} to {bright:.2f} (0 to 1): the exposure changed, which "
            "becomes fog; lock it when you take photographs, or equalise them"
        )


def principal_points(scene: Scene) -> np.ndarray:
    """[V, 2]: pixels."""
    p = scene.pix2cams
    return np.stack([-p[:, 0, 2] / p[:, 0, 0], -p[:, 1, 2] / p[:, 1, 1]], axis=1)


MISTAKE_CHECKS = (check_convention, check_up, check_intrinsics, check_exposure)
