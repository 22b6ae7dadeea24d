"""The warnings of an inspection, one by one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from inspected_scenes import RUN, findings_of, forward, ring

from mipnerf.datasets.scene import Scene


def test_a_good_scene_is_not_suspicious():
    assert findings_of(ring(12), ring(4, phase=0.4, seed=1)) == []


def changed(views: list[int], **values: Callable[[np.ndarray], np.ndarray]) -> Callable[[Scene], Scene]:
    """A function that changes arrays of a scene at all levels of some views."""

    def change(scene: Scene) -> Scene:
        chosen = np.isin(scene.views, views)
        arrays = {name: getattr(scene, name).copy() for name in values}
        for name, function in values.items():
            arrays[name][chosen] = function(arrays[name][chosen])
        return replace(scene, **arrays)

    return change


def repainted(views: list[int], paint: Callable[[np.ndarray], np.ndarray]) -> Callable[[Scene], Scene]:
    def change(scene: Scene) -> Scene:
        images = [paint(i) if v in views else i for v, i in zip(scene.views, scene.images, strict=True)]
        return replace(scene, images=images)

    return change


def exchanged(scene: Scene) -> Scene:
    """View 3 shows view 5."""
    return replace(
        scene, images=[scene.images[i + 4] if v == 3 else scene.images[i] for i, v in enumerate(scene.views)]
    )


def dark(image: np.ndarray) -> np.ndarray:
    return image // np.array([4, 4, 4, 1], dtype=np.uint8)


def same_place(poses: np.ndarray) -> np.ndarray:
    return np.broadcast_to(poses[0], poses.shape)


SUSPICIOUS = {
    "mirrored": (changed([3], camtoworlds=lambda p: p * [-1, 1, 1, 1]), "view 3 has a left-handed pose", (3,)),
    "mirrored all": (
        changed(list(range(12)), camtoworlds=lambda p: p * [1, -1, 1, 1]),
        "views 0, 1, 2, 3 and 8 more have a left-handed pose",
        tuple(range(12)),
    ),
    "scaled": (changed([2, 4], camtoworlds=lambda p: p * [2, 2, 2, 1]), "views 2, 4 have a pose whose axes", (2, 4)),
    "same pose": (changed([3, 5], camtoworlds=same_place), "have the pose of another view of the split, but", (3, 5)),
    "one colour": (repainted([7], np.zeros_like), "view 7 is of one colour all over", (7,)),
    "dark": (repainted([7], dark), "view 7 has another brightness than the rest", (7,)),
    "zoom": (changed([6], pix2cams=lambda p: p * [0.5, 0.5, 1]), "from 30 (view 0) to 60 pixels (view 6)", (0, 6)),
    "same image": (exchanged, "views 3, 5 show the very same pixels as another view", (3, 5)),
    "far away": (
        changed([3], camtoworlds=lambda p: p + 1e4 * np.eye(3, 4, 3)),
        "view 3 sees nothing of what the other views see",
        (3,),
    ),
    "turned away": (
        changed([3], camtoworlds=lambda p: p * [-1, 1, -1, 1]),
        "view 3 sees nothing of what the other views see",
        (3,),
    ),
    "far at the object": (changed(list(range(12)), fars=lambda f: f - 2), "not even the middle is between", ()),
    "near in the object": (changed(list(range(12)), nears=lambda n: n + 1.5), "0.5 lies between the bounds", ()),
    "near 0": (changed(list(range(12)), nears=lambda n: 0 * n), "near is 0: cones begin as points in the lens", ()),
    "far too near": (
        changed(list(range(12)), nears=lambda n: n / 100, fars=lambda f: f / 100),
        "far 0.06 does not even reach the next camera",
        (),
    ),
    "no overlap": (
        changed(list(range(12)), nears=lambda n: n / 100, fars=lambda f: f / 100),
        "only 0% of the pairs of training cameras",
        (),
    ),
    "no parallax": (
        changed(list(range(12)), camtoworlds=lambda p: p * [1, 1, 1, 1e-4]),
        "which is nothing against near",
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message", "views"), SUSPICIOUS.values(), ids=SUSPICIOUS)
def test_a_suspicion_names_its_views(spoil, message, views):
    found = [
        finding for finding in findings_of(spoil(ring(12)), ring(4, phase=0.4, seed=1)) if message in finding.message
    ]
    assert len(found) == 1
    assert found[0].views == views
    assert found[0].split == ("train" if views else "")


def test_near_0_is_no_trouble_for_cylinders():
    run = RUN.model_copy(update={"model": RUN.model.model_copy(update={"ray_shape": "cylinder"})})
    assert findings_of(replace(ring(12), nears=np.zeros(24)), ring(4, phase=0.4, seed=1), run) == []


def test_two_views_of_one_pose_that_look_alike_are_one_too_many():
    twice = ring(12)
    twice = twice.select([*range(24), 6, 7])
    twice = replace(twice, views=np.repeat(np.arange(13), 2), images=[i.copy() for i in twice.images])
    twice.images[24][0, 0] ^= 1
    (finding,) = findings_of(twice, ring(4, phase=0.4, seed=1))
    assert "views 3, 12 have the pose of another view of the split: one too many" in finding.message


def test_the_splits_are_compared():
    train, test = ring(12), ring(4, phase=0.4, seed=1)
    leaked = train.select(train.views == 5)
    messages = [finding.message for finding in findings_of(train, replace(leaked, views=np.zeros(2, dtype=int)))]
    assert messages == ["test: view 0 has the pose of a training view (first: 5): test does not measure new views"]
    wrong = replace(test, images=[*test.images[:2], *leaked.images, *test.images[4:]])
    messages = [finding.message for finding in findings_of(train, wrong)]
    assert messages == ["test: view 1 shows the pixels of a training view, but with another pose: poses are wrong"]
    away = changed([2], camtoworlds=lambda poses: poses * [-1, 1, -1, 1])(test)
    (finding,) = findings_of(train, away)
    assert "test: view 2 looks where at most one training view does" in finding.message
    assert (finding.split, finding.views) == ("test", (2,))


def test_cameras_that_ndc_cannot_express_are_named():
    scene = forward()
    between = np.mean(scene.camtoworlds[2:4], axis=0, keepdims=True)
    test = replace(forward(1), camtoworlds=between, images=ring(1, levels=1, channels=3, seed=2).images)
    assert findings_of(scene, test) == []
    beyond, turned = scene.camtoworlds.copy(), scene.camtoworlds.copy()
    beyond[1, 2, 3] = -1.5
    turned[4] = turned[4] @ np.array([[0.1, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0.1, 0], [0, 0, 0, 1]])
    for poses, message in (
        (beyond, "view 1 stand beyond the near plane"),
        (turned, "view 4 have rays that never meet"),
    ):
        assert any(message in finding.message for finding in findings_of(replace(scene, camtoworlds=poses), test))
