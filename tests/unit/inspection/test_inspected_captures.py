"""What an inspection of a capture tells: what is used, left out, masked and undistorted."""

import json

import numpy as np
import pycolmap
import pytest
import yaml
from capture_files import make_toy, transforms_of, write_colmap, write_images, write_json
from inspected_scenes import RUN
from PIL import Image

from mipnerf.config import DataConfig
from mipnerf.datasets.load import load_scene
from mipnerf.errors import DataError
from mipnerf.inspection.cameras import lens_shifts
from mipnerf.inspection.found import picture_found
from mipnerf.inspection.report import format_inspection, inspect_configured, inspect_scene

LENS = {"k1": -0.2, "k2": 0.05, "p1": 0.002, "p2": -0.003}


@pytest.mark.slow
def test_a_capture_tells_what_is_left_out_masked_and_undistorted(tmp_path):
    toy = make_toy(views=10, width=40, height=30)
    folder = write_images(toy, tmp_path / "desk")
    write_json(folder, transforms_of(toy) | LENS)
    (folder / "masks").mkdir()
    mask = np.full((30, 40), 255, np.uint8)
    mask[:15] = 0
    for name in toy.names:
        Image.fromarray(mask).save(folder / "masks" / name)
    (folder / "images" / "003.png").unlink()
    run = RUN.model_copy(update={"levels": 1, "data": DataConfig(missing_images="skip")})
    result = inspect_scene(folder, run, tmp_path / "out")
    assert result["left_out"] == ["images/003.png"]
    assert result["splits"]["train"]["views"] == 7
    assert result["splits"]["train"]["masked"] == pytest.approx(0.5)
    fx, fy, cx, cy = toy.intrinsics
    edges = np.meshgrid(np.linspace(0, 40, 200), np.linspace(0, 30, 200))
    pixels = np.stack(edges, axis=-1).reshape(-1, 2)
    camera = pycolmap.Camera(model="OPENCV", width=40, height=30, params=[*toy.intrinsics, *LENS.values()])
    straight = camera.cam_from_img(pixels) * [fx, fy] + [cx, cy]
    largest = np.linalg.norm(straight - pixels, axis=-1).max()
    assert result["cameras"]["train"]["lens_shift"] == pytest.approx(largest, rel=1e-6)  # in a corner
    text = format_inspection(json.loads(json.dumps(result)))
    for part in ("1 images: images/003.png", "50.0% masked", f"undistorted, by up to {largest:.3g} pixels"):
        assert part in text


def test_a_pinhole_without_masks_tells_nothing_of_them(tmp_path):
    toy = make_toy(views=10)
    folder = write_json(write_images(toy, tmp_path / "desk"), transforms_of(toy))
    result = inspect_scene(folder, RUN.model_copy(update={"levels": 1}), tmp_path / "out")
    assert result["left_out"] == []
    text = format_inspection(result)
    assert "masked" not in text
    assert "undistorted" not in text
    assert "left out" not in text


def test_the_shift_of_a_fisheye_has_an_end(tmp_path):
    toy = make_toy(views=4, width=40, height=40)
    content = transforms_of(toy) | {"fl_x": 12, "fl_y": 12, "cx": 20, "cy": 20, "is_fisheye": True}
    folder = write_json(write_images(toy, tmp_path / "desk"), content)
    scene = load_scene(folder, "train", 1, DataConfig())
    # At 60 degrees a pinhole is tan(60) f from the middle, and a fisheye pi / 3 f.
    assert lens_shifts(scene)[0] == pytest.approx(12 * (np.sqrt(3) - np.pi / 3), rel=0.1)


def test_pictures_whose_cameras_were_not_found_are_left_out(tmp_path):
    toy = make_toy()
    folder = write_colmap(toy, write_images(toy, tmp_path / "desk"))
    write_json(folder, {"left_out": [{"picture": "IMG 7.jpg", "reason": "is blurred"}]}, "summary.json")
    result = inspect_scene(folder, RUN.model_copy(update={"levels": 1}), tmp_path / "out")
    assert result["left_out"] == ["IMG 7.jpg"]


def test_frusta_of_found_cameras_are_bent_by_their_lenses(tmp_path):
    drawn = []
    for model, distortion in (("OPENCV", [0, 0, 0, 0]), ("OPENCV", [-0.2, 0.02, 0, 0])):
        toy = make_toy()
        toy.distortion = distortion
        folder = write_colmap(toy, write_images(toy, tmp_path / f"{distortion[0]}"), model=model)
        axes = picture_found(folder, "desk", DataConfig()).axes[0]
        drawn.append(np.concatenate([np.concatenate(c.get_segments()) for c in axes.collections]))
    assert drawn[0].shape == drawn[1].shape
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01


def test_photographs_whose_cameras_are_not_found_yet_are_told_of(tmp_path):
    values = {
        "sources": {"phone": str(tmp_path)},
        "datasets": {"phone": {"source": "phone", "layout": "photos", "scenes": ["desk"]}},
        "runs": [{"dataset": "phone", "variants": ["mipnerf"]}],
    }
    (tmp_path / "phone.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(DataError, match=r"data/phone/desk does not exist: cameras .* found first"):
        inspect_configured("phone/desk", tmp_path, [tmp_path / "phone.yaml"], tmp_path / "out")
