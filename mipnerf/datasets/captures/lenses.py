"""The lenses that the files of captures state: COLMAP's camera models, also under the keys of transforms.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mipnerf.datasets.lens import Coefficients, Lens, is_reached
from mipnerf.datasets.scene import number
from mipnerf.errors import DataError

# COLMAP's models, the order of their parameters by the names of `Lens`, and their numbers in binary files.
MODELS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 q1 q2 q3",
    "FOV": "fx fy cx cy omega",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 p1 p2 k3 k4 s1 s2",
    "SIMPLE_FISHEYE": "f cx cy",
    "FISHEYE": "fx fy cx cy",
}
SHARED = ("f", "fx", "fy", "cx", "cy")
BENDING = {name for name in MODELS if "FISHEYE" in name} | {"FOV"}
# In transforms.json a file states coefficients whatever it calls the camera; without a model it is OpenCV's.
PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
FISHEYES = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
KEYS = {
    **{model: {key: key for key in ("k1", "k2", "k3", "k4", "p1", "p2")} for model in PERSPECTIVE},
    **{model: {key: key for key in ("k1", "k2", "k3", "k4")} for model in FISHEYES},
    "THIN_PRISM_FISHEYE": {key: key for key in ("k1", "k2", "k3", "k4", "p1", "p2")} | {"sx1": "s1", "sy1": "s2"},
    "FOV": {"omega": "omega"},
}
RATIONAL = {"k1": "k1", "k2": "k2", "k3": "k3", "k4": "q1", "k5": "q2", "k6": "q3", "p1": "p1", "p2": "p2"}
COEFFICIENTS = (*RATIONAL, "sx1", "sy1", "omega")
OTHER_LENSES = ("latlong", "equirectangular", "orthographic", "ftheta_p0")
NO_DISTORTION = 1e-6  # moves no pixel of an image by a hundredth of a pixel
MAX_COEFFICIENT = 1e6
HOW_TO_UNDISTORT = (
    "of another lens, undistort the images, as `colmap image_undistorter --image_path images --input_path sparse/0 "
    "--output_path NAME` does, and use the folder NAME with the layout colmap"
)
ROWS = 64  # of an image, whose pixels are looked at together


def lens_of_model(model: str, params: Sequence[float], where: str) -> tuple[np.ndarray, Lens]:
    """Intrinsics [4] (fx, fy, cx, cy) and lens of COLMAP's camera `model`; `DataError`, begun by `where`, if bad."""
    if model not in MODELS:
        raise DataError(f"{where}: its model is {model}; supported are {', '.join(MODELS)}; {HOW_TO_UNDISTORT}")
    names = MODELS[model].split()
    if len(params) != len(names):
        raise DataError(f"{where}: {len(params)} parameters, a {model} has {len(names)}")
    values = dict(zip(names, map(float, params), strict=True))
    focals = [values.get(name, values.get("f")) for name in ("fx", "fy")]
    coefficients = {name: value for name, value in values.items() if name not in SHARED}
    return np.array([*focals, values["cx"], values["cy"]]), make_lens(coefficients, model, where)


def lens_of_keys(values: Mapping[str, Any], where: str) -> Lens:
    """The lens that the keys of a frame, or of its file, state; `DataError`, begun by `where`, if it is not known."""
    stated = values.get("camera_model", "OPENCV")
    model = stated.upper() if isinstance(stated, str) else ""
    if values.get("is_fisheye") and model in PERSPECTIVE:
        model = "OPENCV_FISHEYE"
    others = [key for key in OTHER_LENSES if values.get(key) not in (None, False, 0)]
    if others or model not in KEYS:
        what = f"'{others[0]}' is set" if others else f"'camera_model' is {stated!r}"
        raise DataError(f"{where}: {what}; supported are {', '.join(KEYS)}; {HOW_TO_UNDISTORT}")
    found = {key: number(values, key, where) for key in COEFFICIENTS if key in values}
    found = {key: value for key, value in found.items() if abs(value) > NO_DISTORTION}
    # OpenCV's rational model, whatever the file calls it; else the fourth is one of nerfstudio's polynomial.
    is_rational = model in PERSPECTIVE and (model == "FULL_OPENCV" or "k5" in found or "k6" in found)
    names = RATIONAL if is_rational else KEYS[model]
    for key, value in found.items():
        if key not in names:
            raise DataError(f"{where}: {key!r} is {value:g}, but a camera {model} has {', '.join(names)}")
    return make_lens({names[key]: value for key, value in found.items()}, model, where)


def make_lens(coefficients: Mapping[str, float], model: str, where: str) -> Lens:
    """The lens of a `model` with these coefficients, none of them beyond what a lens can have."""
    for name, value in coefficients.items():
        if not abs(value) <= MAX_COEFFICIENT:
            raise DataError(f"{where}: the coefficient {name} of its lens must be finite, found {value:g}")
    omega = coefficients.get("omega", 0.0)
    if not 0 <= omega < np.pi:
        raise DataError(f"{where}: omega must be an angle in radians from 0 to pi, found {omega:g}")
    if model == "FOV" and omega <= NO_DISTORTION:
        return Lens()
    return Lens(**coefficients, is_bending=model in BENDING)


def reached_pixels(lens: Lens, intrinsics: np.ndarray, size: Sequence[int]) -> np.ndarray | None:
    """Which pixels [H, W] some ray reaches through the lens; None where all are."""
    if lens.is_pinhole:
        return None
    width, height = map(int, size)
    coefficients = Coefficients(*lens.row())
    fx, fy, cx, cy = intrinsics

    def reached(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(is_reached(coefficients, (x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy))

    x, y = np.arange(width), np.arange(height)
    borders = [reached(x, np.full(width, row)) for row in (0, height - 1)]
    borders += [reached(np.full(height, column), y) for column in (0, width - 1)]
    # What can be seen has no holes: with the whole border, all is.
    if all(border.all() for border in borders):
        return None
    parts = [np.meshgrid(x, y[start : start + ROWS]) for start in range(0, height, ROWS)]
    return np.concatenate([reached(*part) for part in parts])
