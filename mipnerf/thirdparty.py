"""Packages that only some commands need, and how to have them."""

from importlib.util import find_spec

from mipnerf.errors import ConfigError

EXTRAS = {
    "imageio_ffmpeg": ("video", "videos need ffmpeg"),
    "pycolmap": ("sfm", "the layout photos needs pycolmap to find cameras"),
    "skimage": ("mesh", "meshes need scikit-image"),
    "triton": ("gpu", "operation.network fused needs the package triton"),
    "tensorboardX": ("tensorboard", "operation.tensorboard needs the package tensorboardX"),
}


def require_package(package: str) -> None:
    """`ConfigError` that says how to install an optional `package` unless it is there."""
    extra, need = EXTRAS[package]
    if find_spec(package) is None:
        raise ConfigError(f"{need}: pip install -e '.[{extra}]'")
