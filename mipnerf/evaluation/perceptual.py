"""LPIPS with VGG16 (Zhang et al., CVPR 2018), the perceptual distance that the mip-NeRF paper reports.

The features are torchvision's VGG16, a file of 528 MB that is found or downloaded once; their weights in the distance
come with the package `lpips`. Neither it nor torchvision is imported: torchvision fits one build of torch only.
"""

import hashlib
import http.client
import importlib.util
import json
import logging
import socket
from collections.abc import Iterator
from functools import cached_property, reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mipnerf.errors import DataError

log = logging.getLogger(__name__)
VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
VGG_NAME = "vgg16-397923af.pth"
SHA256_PREFIX = "397923af"
AGAIN = "snakemake with --forcerun lpips_weights"
MISSING_PACKAGE = f"the package lpips is not installed; run pip install -e '.[lpips]' and {AGAIN}"
DOWNLOAD_TIMEOUT = 60  # seconds without a byte
MIN_SIZE = 16  # VGG halves an image four times before its last features
SCALES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions in torchvision's `features`
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's colours, for values in [-1, 1]


class Lpips:
    """LPIPS version 0.1 of two images.

    Args:
        vgg: `features.<i>.weight` and `.bias` of torchvision's VGG16.
        calibration: `lin<k>.model.1.weight` [1, C, 1, 1] of the package `lpips`, for each of the five scales.
    """

    def __init__(self, vgg: dict[str, Tensor], calibration: dict[str, Tensor], device: torch.device) -> None:
        convolutions = [i for scale in SCALES for i in scale]
        self._weights = {i: vgg[f"features.{i}.weight"].to(device) for i in convolutions}
        self._biases = {i: vgg[f"features.{i}.bias"].to(device) for i in convolutions}
        self._calibration = [calibration[f"lin{k}.model.1.weight"].to(device) for k in range(len(SCALES))]
        self._shift, self._scale = (torch.tensor(x, device=device)[:, None, None] for x in (SHIFT, SCALE))

    @torch.no_grad()
    def __call__(self, rgb: Tensor, truth: Tensor) -> float | None:
        """LPIPS of images [H, W, 3] in [0, 1]; None where a side is shorter than `MIN_SIZE`."""
        if min(rgb.shape[:2]) < MIN_SIZE:
            return None
        scales = zip(self._features(rgb), self._features(truth), self._calibration, strict=True)
        return reduce(torch.add, (functional.conv2d((a - b) ** 2, weights).mean() for a, b, weights in scales)).item()

    @cached_property
    def fingerprint(self) -> str:
        """A digest (hex) of the weights, on which every distance depends."""
        digest = hashlib.sha256()
        for values in (*self._weights.values(), *self._biases.values(), *self._calibration):
            digest.update(np.ascontiguousarray(values.cpu().numpy()).data)
        return digest.hexdigest()

    def _features(self, image: Tensor) -> Iterator[Tensor]:
        """Features [1, C, h, w] of unit length at each scale."""
        x = ((2 * image.permute(2, 0, 1).float() - 1 - self._shift) / self._scale)[None]
        for k, convolutions in enumerate(SCALES):
            if k > 0:
                x = functional.max_pool2d(x, 2)
            for i in convolutions:
                x = functional.relu(functional.conv2d(x, self._weights[i], self._biases[i], padding=1))
            yield x / (x.norm(dim=1, keepdim=True) + 1e-10)


def load_lpips(path: Path, device: torch.device) -> Lpips:
    """LPIPS on `device` with the VGG16 weights in `path`; `DataError` where these or the package cannot be read."""
    calibration = calibration_file()
    if calibration is None:
        raise DataError(MISSING_PACKAGE)
    try:
        vgg, lins = (torch.load(file, map_location="cpu", weights_only=True) for file in (path, calibration))
        return Lpips(vgg, lins, device)
    except FileNotFoundError:
        raise DataError(f"{path}: the weights of VGG16 are gone; run {AGAIN}") from None
    except Exception as error:  # torch.load fails in many ways on a damaged file
        raise DataError(f"{path}: does not hold the weights of VGG16 ({error}); remove it and fetch it anew") from error


def lpips_from(weights_json: Path, device: torch.device) -> Lpips | None:
    """LPIPS with the weights that `find_weights` recorded; None, with the reason in the log, where it found none."""
    try:
        record = json.loads(weights_json.read_text(encoding="utf-8"))
        path = Path(record["path"]) if record["available"] else None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{weights_json}: cannot be read ({error}); run {AGAIN}") from error
    if path is None:
        log.warning("LPIPS is not measured: %s", record["reason"])
        return None
    return load_lpips(path, device)


def find_weights(folder: Path | None = None) -> dict[str, bool | str]:
    """Find or download the VGG16 weights.

    They are looked for in `folder` (which may be the file itself) and in torch.hub's folder, and downloaded to the
    first of these that is given.

    Returns:
        {"available": True, "path", "sha256"}, or {"available": False, "reason"}; no network is no error.
    """
    if calibration_file() is None:
        return {"available": False, "reason": MISSING_PACKAGE}
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    folders = [hub] if folder is None else [folder, hub]
    files = [file for place in folders for file in (place, place / VGG_NAME) if file.is_file()]
    target = folders[0] / VGG_NAME
    path = files[0] if files else target
    try:
        if not files:
            log.info("downloading %s to %s (528 MB)", VGG_URL, target)
            _download(target)
        with open(path, "rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        problem = f"{path} cannot be read" if files else f"{VGG_URL} cannot be downloaded"
        return {
            "available": False,
            "reason": f"{problem} ({error}); put it into {target.parent} and run {AGAIN}",
        }
    if not sha256.startswith(SHA256_PREFIX):
        problem = f"{path} has the SHA-256 {sha256[:8]}... and not {SHA256_PREFIX}...; it is damaged or another file"
        return {"available": False, "reason": f"{problem}: replace it by {VGG_URL} and run {AGAIN}"}
    return {"available": True, "path": str(path.resolve()), "sha256": sha256}


def calibration_file() -> Path | None:
    """The learned weights of the five scales in the installed package `lpips`."""
    package = importlib.util.find_spec("lpips")
    file = Path(package.origin).parent / "weights/v0.1/vgg.pth" if package and package.origin else None
    return file if file is not None and file.is_file() else None


def _download(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torch.hub sets none and would wait for ever
    try:
        torch.hub.download_url_to_file(VGG_URL, str(target), hash_prefix=SHA256_PREFIX, progress=False)
    finally:
        socket.setdefaulttimeout(timeout)
