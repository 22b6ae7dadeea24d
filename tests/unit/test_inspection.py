"""The inspection of a scene: its numbers against slow second computations, its warnings one by one, its pictures."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from scene_files import write_llff_scene, write_scene

from mipnerf.cameras import convert_to_ndc
from mipnerf.config import RunConfig, parse_config
from mipnerf.config.runs import run_of_scene, scene_folder
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.datasets.scene import Scene, pinhole_pix2cam
from mipnerf.errors import ConfigError, DataError
from mipnerf.inspection import cameras
from mipnerf.inspection.checks import Finding, find_suspicious
from mipnerf.inspection.contact import choose_views, plot_contact_sheet, pyramid
from mipnerf.inspection.frusta import plot_cameras
from mipnerf.inspection.images import THUMBNAIL, Split, summarise_split
from mipnerf.inspection.report import format_inspection, inspect_configured, inspect_scene

CONFIG = Path(__file__).parents[2] / "config"
RUN = RunConfig(dataset="toy", variant="mipnerf", scene="box", levels=2)
WIDTH, HEIGHT, FOCAL = 24, 16, 30.0


def ring(count: int, phase: float = 0.0, levels: int = 2, channels: int = 4, seed: int = 0) -> Scene:
    """Cameras at distance 4 around the origin that look at it, at two heights; images of noise."""
    rng = np.random.default_rng(seed)
    poses, images, names = [], [], []
    for i in range(count):
        angle = 2 * math.pi * (i + phase) / count
        back = np.array([math.cos(angle), math.sin(angle), 0.4 + 0.3 * (i % 2)])
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        for level in range(levels):
            poses.append(np.stack([right, np.cross(back, right), back, 4 * back], axis=1))
            images.append(rng.integers(0, 256, (HEIGHT >> level, WIDTH >> level, channels), dtype=np.uint8))
            names.append(f"{seed}_{i}_{level}.png")
    each = np.tile(np.arange(levels), count)
    sizes = [(image.shape[1], image.shape[0]) for image in images]
    return Scene(
        images=images,
        camtoworlds=np.stack(poses),
        pix2cams=np.stack([pinhole_pix2cam(FOCAL * w / WIDTH, w, h) for w, h in sizes]),
        nears=np.full(len(images), 2.0),
        fars=np.full(len(images), 6.0),
        lossmults=4.0**each,
        levels=each,
        views=np.repeat(np.arange(count), levels),
        names=names,
    )


def forward(count: int = 5, ndc: bool = True) -> Scene:
    """Cameras side by side that look along -z, turned a little."""
    scene = ring(count, levels=1, channels=3)
    poses = []
    for x in np.linspace(-0.5, 0.5, count):
        back = np.array([0.2 * x, 0, 1]) / np.linalg.norm([0.2 * x, 0, 1])
        right = np.cross([0.0, 1.0, 0.0], back)
        poses.append(np.stack([right, np.cross(back, right), back, [x, 0.1 * x, 0]], axis=1))
    bounds = {"nears": np.zeros(count), "fars": np.ones(count)} if ndc else {}
    return replace(scene, camtoworlds=np.stack(poses), ndc=ndc, **bounds)


def findings_of(train: Scene, test: Scene, run: RunConfig = RUN) -> list[Finding]:
    return find_suspicious([summarise_split("train", train), summarise_split("test", test)], run)


# Numbers


def test_the_numbers_of_a_ring_are_those_it_was_made_with():
    facts = cameras.camera_facts(cameras.cameras_of(ring(12)))
    assert facts["viewing"] == "inward"
    assert facts["distance_from_origin"] == pytest.approx({"min": 4, "median": 4, "max": 4})
    assert facts["focus"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert facts["focal_length"]["median"] == pytest.approx(FOCAL)
    expected = [2 * math.degrees(math.atan(side / 2 / FOCAL)) for side in (WIDTH, HEIGHT)]
    assert facts["field_of_view"] == pytest.approx(expected)
    assert facts["contained_radius"] == pytest.approx(2)
    assert facts["visible_radius"] == pytest.approx(4 * math.sin(math.radians(expected[1]) / 2))
    assert (facts["near"]["min"], facts["far"]["max"], facts["ndc"]) == (2, 6, False)
    json.dumps(facts)


def test_cameras_that_look_forward_outward_and_anywhere_are_told_apart():
    inward = cameras.cameras_of(ring(12))
    outward = inward.camtoworlds * [-1, 1, -1, 1]
    mixed = np.where(np.arange(24)[:12, None, None] % 2 == 0, inward.camtoworlds, outward)
    assert cameras.viewing(replace(inward, camtoworlds=outward)) == "outward"
    assert cameras.viewing(replace(inward, camtoworlds=mixed)) == "mixed"
    assert cameras.viewing(cameras.cameras_of(forward())) == "forward"
    parallel = replace(
        inward, camtoworlds=np.concatenate([np.tile(np.eye(3), (12, 1, 1)), inward.camtoworlds[..., 3:]], 2)
    )
    facts = cameras.camera_facts(parallel)
    assert (facts["viewing"], facts["focus"], facts["contained_radius"]) == ("forward", None, None)
    opposite = parallel.camtoworlds * np.where(np.arange(12) % 2, 1, -1)[:, None, None] ** [[[1, 0, 1, 0]]]
    assert cameras.viewing(replace(inward, camtoworlds=opposite)) == "mixed"


def test_one_camera_has_no_neighbour_and_no_overlap():
    facts = cameras.camera_facts(cameras.cameras_of(ring(1)))
    assert (facts["overlap"], facts["neighbour_distance"]) == (None, None)


def test_a_point_is_seen_where_it_projects_into_the_image_between_the_bounds():
    scene = cameras.cameras_of(ring(3))
    points = np.random.default_rng(0).uniform(-5, 5, (2000, 3))
    for view in range(3):
        pose = scene.camtoworlds[view]
        local = (points - pose[:, 3]) @ pose[:, :3]  # orthonormal: the transpose is the inverse
        depth = -local[:, 2]
        x, y = WIDTH / 2 + FOCAL * local[:, 0] / depth, HEIGHT / 2 - FOCAL * local[:, 1] / depth
        expected = (depth >= 2) & (depth <= 6) & (x >= 0) & (x <= WIDTH) & (y >= 0) & (y <= HEIGHT)
        assert 0 < expected.sum() < 2000
        assert cameras.seen(scene, view, points).tolist() == expected.tolist()


@pytest.mark.parametrize("make", [lambda: ring(6), forward], ids=["world", "ndc"])
def test_every_camera_sees_its_own_frustum(make):
    scene = cameras.cameras_of(make())
    points = cameras.frustum_points(scene)
    for view in range(scene.num_views):
        assert cameras.seen(scene, view, points[view]).all()


def test_distances_in_ndc_are_those_of_the_warped_rays():
    scene = cameras.cameras_of(forward())
    pixels, t = np.array([[[3.5, 2.5], [20.5, 9.5]]] * 5), np.array([[0.0, 0.3, 0.8]] * 5)
    points = cameras.along_rays(scene, pixels, t)
    homogeneous = np.concatenate([pixels, np.ones((5, 2, 1))], axis=-1)
    directions = np.einsum("vij,vjk,vpk->vpi", scene.camtoworlds[:, :, :3], scene.pix2cams, homogeneous)
    origins = np.broadcast_to(scene.camtoworlds[:, None, :, 3], directions.shape)
    origins, directions = convert_to_ndc(torch.from_numpy(origins.copy()), torch.from_numpy(directions), 1.0, 1.0, 1.0)
    warped = origins[:, :, None] + torch.from_numpy(t)[:, None, :, None] * directions[:, :, None]
    x, y, z = np.moveaxis(points, -1, 0)
    np.testing.assert_allclose(np.stack([-2 * x / z, -2 * y / z, 1 + 2 / z], axis=-1), warped, atol=1e-9)


def test_the_nearest_pose_is_that_of_a_loop():
    one, two = cameras.cameras_of(ring(9)), cameras.cameras_of(ring(7, phase=0.3))
    scale = max(np.abs(cameras.positions(scene)).max() for scene in (one, two))
    flat, others = (np.concatenate([s.camtoworlds[..., :3], s.camtoworlds[..., 3:] / scale], 2) for s in (one, two))
    table = np.array([[np.linalg.norm(a - b) for b in others] for a in flat])
    distances, indices = cameras.nearest_poses(one, two)
    np.testing.assert_allclose(distances, table.min(axis=1), atol=1e-7)
    assert indices.tolist() == table.argmin(axis=1).tolist()
    assert cameras.nearest_poses(one, one)[0].min() > 0.1
    single = one.select([0])
    assert np.isinf(cameras.nearest_poses(single, single)[0]).all()


def test_overlap_is_whole_for_one_place_and_none_for_opposite_directions():
    scene = cameras.cameras_of(ring(8))
    same = replace(scene, camtoworlds=scene.camtoworlds[[0] * 8])
    assert cameras.overlap(same) == {"pairs": 1, "share": 1}
    apart = replace(scene, camtoworlds=scene.camtoworlds * [-1, 1, -1, 1])
    assert cameras.overlap(apart)["pairs"] < 0.5
    assert cameras.coverage(same, scene.select([0])).tolist() == [1]


# Warnings


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


# Pictures


def test_small_copies_show_every_level_at_its_size():
    split = summarise_split("train", ring(2, levels=3))
    assert [copy.shape for copy in split.thumbnails[1]] == [(107, THUMBNAIL, 3), (53, 80, 3), (27, 40, 3)]
    image = pyramid(split.thumbnails[1])
    assert image.shape == (107, 160 + 3 + 80, 3)
    np.testing.assert_array_equal(image[:107, :160], split.thumbnails[1][0])
    np.testing.assert_array_equal(image[56:83, 163:203], split.thumbnails[1][2])
    assert pyramid(split.thumbnails[0][:1]).shape == (107, THUMBNAIL, 3)


def test_reduced_images_look_like_whole_ones():
    scene = ring(2, levels=1, channels=3)
    flat = replace(scene, images=[np.full_like(image, 60) for image in scene.images])
    split, reduced = summarise_split("train", flat), summarise_split("train", flat.downsampled(4))
    assert (reduced.facts["max_value"], reduced.facts["alpha"], reduced.facts["transparent"]) == (255 * 16, False, None)
    assert set(split.thumbnails[0][0].flat) == set(reduced.thumbnails[0][0].flat) == {60}
    assert split.brightness == pytest.approx(reduced.brightness)


def test_transparent_pixels_are_white_and_count_for_nothing():
    scene = ring(2, levels=1)
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[:4] = [200, 100, 0, 255]
    split = summarise_split("train", replace(scene, images=[image, image]))
    assert split.brightness == pytest.approx(300 / 3 / 255)
    assert split.facts["transparent"] == pytest.approx(1 - 4 / HEIGHT)
    assert split.thumbnails[0][0][-1, -1].tolist() == [255] * 3


def test_flagged_views_are_always_shown():
    split = summarise_split("train", ring(40, levels=1))
    assert len(choose_views(split, set())) == 24
    assert {13, 37} < set(choose_views(split, {13, 37}))
    assert len(choose_views(split, {13, 37})) == 24
    assert choose_views(summarise_split("val", ring(3, levels=1)), set()) == [0, 1, 2]


def texts(figure: Figure) -> list[str]:
    """Every text of a figure."""
    own = [text.get_text() for axes in figure.axes for text in axes.texts]
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center")]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return own + titles + legends


def splits_of(train: Scene, test: Scene) -> list[Split]:
    return [summarise_split("train", train), summarise_split("test", test)]


def test_the_contact_sheet_numbers_its_views_and_marks_the_flagged():
    figure = plot_contact_sheet("toy/box", splits_of(ring(30), ring(4, seed=1)), {("test", 2)})
    found = texts(figure)
    assert {"train: 24 of 30 views", "test: 4 views", "2 !"} <= set(found)
    assert found.count("3") == 1 + (
        "3" in [str(view) for view in choose_views(summarise_split("train", ring(30)), set())]
    )
    figure.canvas.draw()


def test_the_cameras_are_drawn_from_three_sides():
    figure = plot_cameras("toy/box", splits_of(ring(130, levels=1), ring(4, phase=0.4, levels=1)))
    assert {"from above", "from the side", "in perspective", "near", "far"} <= set(texts(figure))
    assert {"train: 100 of 130", "test: 4", "nearest to all axes"} <= set(texts(figure))
    figure.canvas.draw()
    top, side, _ = figure.axes
    assert (top.get_xlabel(), top.get_ylabel(), side.get_ylabel()) == ("x", "y", "z")
    assert np.ptp(top.get_xlim()) == pytest.approx(np.ptp(side.get_ylim()))


@pytest.mark.parametrize("scene", [forward(), forward(ndc=False), ring(1), ring(2)], ids=["ndc", "forward", "1", "2"])
def test_any_number_and_kind_of_cameras_can_be_drawn(scene):
    figure = plot_cameras("toy/box", splits_of(scene, scene))
    figure.canvas.draw()
    assert ("to infinity" in texts(figure)) == scene.ndc
    if scene.ndc:
        assert [figure.axes[0].get_ylabel(), figure.axes[1].get_xlabel()] == ["z", "z"]


# The command


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a converted scene, an LLFF one and a configuration of both."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "config").mkdir()
    values = {
        "datasets": {
            "toys": {"source": "toy_source", "scenes": ["box", "missing"]},
            "photos": {"source": "photo_source", "scenes": ["fern"], "layout": "llff", "levels": 2},
        },
        "variants": {"mipnerf": {}},
        "runs": [{"dataset": "toys", "variants": ["mipnerf"], "data": {"near": 2.5}}],
    }
    for name in ("datasets", "variants", "config"):
        (folder / "config" / f"{name}.yaml").write_text(
            yaml.safe_dump(values if name == "datasets" else {"scale": 1.0})
        )
    write_scene(folder / "raw", {"train": 5, "val": 2, "test": 2})
    convert_to_multiscale(folder / "raw", folder / "data" / "toys" / "box")
    write_llff_scene(folder / "data" / "sources" / "photo_source" / "fern", 9, 24, 16)
    return folder


def inspected(project: Path, name: str, output: Path, **changes) -> dict:
    return inspect_configured(name, project, [], output, **changes)


def test_a_converted_scene_is_read_as_its_run_reads_it(project, tmp_path):
    result = inspected(project, "toys/box", tmp_path)
    assert [(name, facts["views"]) for name, facts in result["splits"].items()] == [
        ("train", 5),
        ("val", 2),
        ("test", 2),
    ]
    assert [level["sizes"] for level in result["splits"]["train"]["levels"]] == [
        [[16, 16]],
        [[8, 8]],
        [[4, 4]],
        [[2, 2]],
    ]
    assert result["cameras"]["train"]["near"]["min"] == 2.5
    assert [Path(path).name for path in result["pictures"]] == ["cameras.png", "images.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in result["pictures"])
    text = format_inspection(json.loads(json.dumps(result)))
    for part in ("5 views, 16×16, 8×8, 4×4, 2×2 pixels, RGBA", "looking inward", "near 2.5, far 6", str(tmp_path)):
        assert part in text


def test_the_same_scene_gives_the_same_pictures(project, tmp_path):
    inspected(project, "toys/box", tmp_path / "a")
    inspected(project, "toys/box", tmp_path / "b")
    for name in ("cameras.png", "images.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_capture_has_two_splits_and_bounds_in_ndc(project, tmp_path):
    result = inspected(project, "photos/fern", tmp_path)
    assert list(result["splits"]) == ["train", "test"]
    assert "looking forward" in format_inspection(result)
    assert "near 0, far 1, in normalised device coordinates" in format_inspection(result)


def test_a_bad_validation_split_is_a_warning_and_bad_training_data_an_error(tmp_path):
    source = write_scene(tmp_path / "box")
    run = RUN.model_copy(update={"levels": 1})
    (source / "transforms_val.json").write_text("{")
    result = inspect_scene(source, run, tmp_path / "out")
    assert result["warnings"][0]["message"].startswith("val: ")
    assert "transforms_val.json: not valid JSON" in format_inspection(result)
    (source / "train" / "r_1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"r_1\.png"):
        inspect_scene(source, run, tmp_path / "out")


def test_what_is_not_there_is_answered_with_what_is(project, tmp_path):
    for name, message in (
        ("toyz/box", "'toyz' is unknown .did you mean 'toys'"),
        ("toys/bux", "'bux' is unknown .did you mean 'box'"),
        ("toys", "'toys' must be DATASET/SCENE"),
        ("/", "must be DATASET/SCENE"),
    ):
        with pytest.raises(ConfigError, match=message):
            inspected(project, name, tmp_path)
    with pytest.raises(DataError, match=r"toys/missing does not exist; `snakemake --cores 8 data`"):
        inspected(project, "toys/missing", tmp_path)
    # Elsewhere, the configuration is that of the workflow.
    with pytest.raises(ConfigError, match="'toys' is unknown; known are bricks"):
        inspected(tmp_path, "toys/box", tmp_path)


def test_the_command_prints_text_or_json(project):
    command = [sys.executable, "-m", "mipnerf", "inspect", "toys/box", "--json"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["scene"] == "toys/box"
    assert result.stderr == ""
    for name in ("cameras.png", "images.png"):
        assert (project / "results" / "inspect" / "toys" / "box" / name).stat().st_size > 0


def test_a_scene_without_runs_is_read_as_its_dataset_says():
    values = {}
    for name in ("datasets", "variants", "config"):
        values |= yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    suite = parse_config(values)
    run = run_of_scene(suite, "llff", "fern")
    assert (run.data.factor, run.model.ray_shape, run.levels) == (4, "cylinder", 1)
    assert run_of_scene(suite, "bricks", "bricks").data.batching == "all_levels"
    assert scene_folder(suite, "llff", "fern") == "data/sources/nerf_llff_data/fern"
    assert scene_folder(suite, "multiscale_blender", "lego") == "data/multiscale_blender/lego"
