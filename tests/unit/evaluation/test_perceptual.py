"""LPIPS against a second computation and against the package it is from, and what happens where it cannot be had."""

import itertools
import json
import os
import subprocess
import sys
import types
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn

from mipnerf.errors import DataError
from mipnerf.evaluation import perceptual
from mipnerf.evaluation.perceptual import SCALES, calibration_file, find_weights, load_lpips, lpips_from

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
CONTENT = b"the weights of VGG16"
CONTENT_PREFIX = "bb7c53bd"


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory) -> Path:
    """Random weights in the form of torchvision's, features only."""
    if calibration_file() is None:
        pytest.skip("LPIPS IS NOT TESTED: the package lpips is not installed (pip install -e '.[lpips]')")
    generator = torch.Generator().manual_seed(0)
    weights = {}
    convolutions = [i for scale in SCALES for i in scale]
    for i, inputs, outputs in zip(convolutions, CHANNELS[:-1], CHANNELS[1:], strict=True):
        kernel = torch.randn(outputs, inputs, 3, 3, generator=generator)
        weights[f"features.{i}.weight"] = kernel * (2 / (9 * inputs)) ** 0.5
        weights[f"features.{i}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    path = tmp_path_factory.mktemp("weights") / perceptual.VGG_NAME
    torch.save(weights, path)
    return path


@pytest.fixture(scope="session")
def lpips(vgg_file):
    return load_lpips(vgg_file, CPU)


@pytest.fixture
def images():
    """Two similar images [37, 50, 3]."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(37, 50, 3, generator=generator)
    return image, (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


@pytest.fixture
def small_file(monkeypatch, tmp_path):
    """A file that counts as the weights, torch.hub's folder being an empty one."""
    monkeypatch.setattr(perceptual, "calibration_file", lambda: tmp_path)
    monkeypatch.setattr(perceptual, "SHA256_PREFIX", CONTENT_PREFIX)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    path = tmp_path / "source" / perceptual.VGG_NAME
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def slow_features(image, weights):
    """VGG16 in double precision, each convolution a sum over the nine shifts of its kernel."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((image - mean) / std).double().permute(2, 0, 1)
    features = []
    for scale in SCALES:
        if features:
            height, width = x.shape[1] // 2, x.shape[2] // 2
            x = x[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).amax((2, 4))
        for i in scale:
            kernel, height, width = weights[f"features.{i}.weight"].double(), *x.shape[1:]
            padded = nn.functional.pad(x, (1, 1, 1, 1))
            x = weights[f"features.{i}.bias"].double()[:, None, None] + sum(
                torch.einsum("oi,ihw->ohw", kernel[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width])
                for dy in range(3)
                for dx in range(3)
            )
            x = x.clamp_min(0)
        features.append(x / x.square().sum(0).sqrt())
    return features


def test_it_equals_a_second_computation(lpips, vgg_file, images):
    weights, lins = (torch.load(path, map_location="cpu") for path in (vgg_file, calibration_file()))
    distance = 0.0
    for k, (a, b) in enumerate(zip(*(slow_features(image, weights) for image in images), strict=True)):
        channel_weights = lins[f"lin{k}.model.1.weight"].double().flatten()
        distance += (channel_weights[:, None, None] * (a - b) ** 2).sum(0).mean()
    assert lpips(*images) == pytest.approx(distance.item(), rel=1e-5)


def test_it_equals_the_package(lpips, vgg_file, images, monkeypatch):
    # All that the package takes from torchvision is the network; torchvision itself may not fit this torch.
    def vgg16(pretrained):
        layers, convolutions = [], itertools.pairwise(CHANNELS)
        for scale in SCALES:
            for inputs, outputs in (next(convolutions) for _ in scale):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        return types.SimpleNamespace(features=nn.Sequential(*layers))

    stub = types.ModuleType("torchvision")
    stub.models = types.SimpleNamespace(vgg16=vgg16)
    monkeypatch.setitem(sys.modules, "torchvision", stub)
    package = pytest.importorskip("lpips").LPIPS(net="vgg", pnet_rand=True, verbose=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "lpips"]:
        del sys.modules[name]
    for name, weights in torch.load(vgg_file).items():
        index, kind = name.split(".")[1:]
        module = next(getattr(package.net, f"slice{k + 1}") for k in range(5) if int(index) in SCALES[k])
        getattr(module.get_submodule(index), kind).data.copy_(weights)
    a, b = (image.permute(2, 0, 1)[None] for image in images)
    assert lpips(*images) == pytest.approx(package(a, b, normalize=True).item(), rel=1e-5)


def test_it_is_a_distance(lpips, images):
    a, b = images
    assert lpips(a, a) == 0
    assert lpips(a, b) == pytest.approx(lpips(b, a), rel=1e-6)
    assert lpips(a, (a + b) / 2) < lpips(a, b)


def test_what_vgg_cannot_see_has_no_value(lpips):
    image = torch.rand(16, 40, 3)
    assert lpips(image, 1 - image) > 0
    assert lpips(image[:15], 1 - image[:15]) is None


def test_weights_are_found_where_they_are(small_file, tmp_path):
    hub = tmp_path / "hub/checkpoints" / perceptual.VGG_NAME
    for given in (small_file, small_file.parent):
        assert find_weights(given)["path"] == str(small_file)
    hub.parent.mkdir(parents=True)
    hub.write_bytes(CONTENT)
    for given in (None, tmp_path / "empty"):
        record = find_weights(given)
        assert record == {"available": True, "path": str(hub), "sha256": record["sha256"]}
        assert record["sha256"].startswith(CONTENT_PREFIX)


def test_weights_are_downloaded_to_the_first_place(small_file, tmp_path, monkeypatch):
    monkeypatch.setattr(perceptual, "VGG_URL", small_file.as_uri())
    for given, place in ((tmp_path / "mine", "mine"), (None, "hub/checkpoints")):
        path = tmp_path / place / perceptual.VGG_NAME
        assert find_weights(given)["path"] == str(path)
        assert path.read_bytes() == CONTENT


def test_file_with_another_hash_is_refused_and_kept(small_file):
    small_file.write_bytes(CONTENT[:-1])
    record = find_weights(small_file.parent)
    assert not record["available"]
    assert record["reason"].startswith(f"{small_file} has the SHA-256 ")
    assert small_file.exists()


def test_download_with_another_hash_leaves_nothing(small_file, tmp_path, monkeypatch):
    small_file.write_bytes(CONTENT[:-1])
    monkeypatch.setattr(perceptual, "VGG_URL", small_file.as_uri())
    record = find_weights(tmp_path / "mine")
    assert not record["available"]
    assert "invalid hash" in record["reason"]
    assert not list((tmp_path / "mine").iterdir())


def test_without_a_network_the_reason_is_told(small_file, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    reason = find_weights(tmp_path / "mine")["reason"]
    assert "cannot be downloaded" in reason
    assert f"put it into {tmp_path / 'mine'}" in reason


def test_without_the_package_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: pytest.fail("downloads"))
    assert "lpips is not installed" in find_weights(tmp_path)["reason"]
    with pytest.raises(DataError, match="lpips is not installed"):
        load_lpips(tmp_path / "vgg.pth", CPU)


def test_record_is_followed(vgg_file, tmp_path, images, lpips, caplog):
    record = tmp_path / "weights.json"
    record.write_text(json.dumps({"available": True, "path": str(vgg_file), "sha256": "397923af"}))
    assert lpips_from(record, CPU)(*images) == lpips(*images)
    record.write_text(json.dumps({"available": False, "reason": "no network"}))
    assert lpips_from(record, CPU) is None
    assert "LPIPS is not measured: no network" in caplog.text
    record.write_text("{}")
    with pytest.raises(DataError, match=r"weights\.json: cannot be read"):
        lpips_from(record, CPU)


def test_other_weights_have_another_fingerprint(vgg_file, tmp_path, lpips):
    assert load_lpips(vgg_file, CPU).fingerprint == lpips.fingerprint
    weights = torch.load(vgg_file, weights_only=True)
    weights["features.28.bias"][-1] += 1e-3
    torch.save(weights, tmp_path / "other.pth")
    assert load_lpips(tmp_path / "other.pth", CPU).fingerprint != lpips.fingerprint


def test_damaged_or_missing_weights_are_named(vgg_file, tmp_path):
    path = tmp_path / "vgg.pth"
    with pytest.raises(DataError, match=r"vgg\.pth: the weights of VGG16 are gone"):
        load_lpips(path, CPU)
    path.write_bytes(vgg_file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"vgg\.pth: does not hold the weights of VGG16"):
        load_lpips(path, CPU)
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"vgg\.pth: does not hold the weights of VGG16"):
        load_lpips(path, CPU)


@pytest.mark.slow
def test_script_succeeds_without_a_network(tmp_path):
    proxy = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # nobody listens there
    command = [sys.executable, "workflow_scripts/weights.py", "--output", tmp_path / "weights.json"]
    result = subprocess.run(
        [*command, "--folder", tmp_path / "weights"],
        cwd=ROOT,
        env=os.environ | proxy | {"TORCH_HOME": str(tmp_path), "no_proxy": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "weights.json").read_text())
    assert not record["available"]
    assert record["reason"] in result.stderr
