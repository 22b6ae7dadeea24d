"""Sections of the configuration that stand by themselves, and what all sections share."""

import copy
import re
from collections.abc import Container, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Fraction = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
# Of COLMAP's, those that can be found from photographs alone.
CameraModel = Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]


class Section(BaseModel):
    """Refuses unknown keys and values of another type; a whole number may stand for a real one."""

    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def partial_of(section: type[Section], without: Container[str] = ()) -> type[Section]:
    """`section` with every key optional: any part of it may be given."""
    fields: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        if name in without:
            continue
        optional = copy.copy(field)
        optional.default = None
        fields[name] = (field.annotation, optional)
    return create_model(f"{section.__name__}Overrides", __base__=Section, **fields)


class DownloadConfig(Section):
    """An archive in the network."""

    url: str = Field(description="http(s)://..., or gdrive://FILE_ID; with {scene} in it, each scene has its own")
    scenes: Annotated[list[Name], Field(min_length=1)] | None = Field(None, description="which it has; null: all")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not re.fullmatch(r"(https?|gdrive)://([^\s{}]|\{scene\})+", url):
            raise ValueError(f"{url!r} must begin with http://, https:// or gdrive:// and have no braces but {{scene}}")
        return url


def without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without what equals `defaults`: keys that came later leave the records of earlier runs as they are."""
    return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


class BricksConfig(Section):
    """The embedded scene: how large, and seen from where."""

    size: Positive = Field(128, description="pixels along a side of an image")
    num_train: Positive = Field(60, description="training views")
    num_val: Positive = Field(4, description="validation views")
    num_test: Positive = Field(12, description="test views")


class VideoConfig(Section):
    """Videos, which are made where they are asked for by name."""

    frames: Positive = Field(120, description="frames of a video, evenly along its path")
    fps: Annotated[int, Field(ge=1, le=120)] = Field(30, description="frames a second")
    width: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        None, description="pixels of the width of a frame's colours; null: as the images of the scene"
    )
    shards: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="jobs that share the frames of a video")


ORBIT_LEVELS = 4  # each has half as many pixels along a side as the one before: an eighth in the end


class OrbitConfig(Section):
    """What the report shows from all around a scene, as far as it has room: of scene after scene, all variants."""

    frames: Annotated[int, Field(ge=0, le=360)] = Field(24, description="views around a scene; 0: none")
    width: Annotated[int, Field(ge=8, le=1024)] = Field(96, description="pixels of the width of the nearest views")


class PhotosConfig(Section):
    """How cameras are found for captures that have none: for all runs of a scene alike."""

    frames: Annotated[int, Field(ge=3, le=1000)] = Field(
        120, description="photos: frames that are taken of a video, the sharpest of as many parts"
    )
    camera_model: CameraModel = Field(
        "SIMPLE_RADIAL", description="photos: what cameras and lenses are taken for, as COLMAP says"
    )
    shared_camera: bool = Field(True, description="photos: all pictures of one size are of one camera")
    matching: Literal["auto", "exhaustive", "sequential"] = Field(
        "auto", description="photos: each picture with all, or with its neighbours; auto: as few or many suggest"
    )
    min_registered: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="photos: refuse where a smaller share of the pictures found its camera"
    )


class CropConfig(Section):
    """A square of a test view, in pixels of full resolution."""

    view: Annotated[int, Field(ge=0)] = Field(description="index of the view in the test split")
    x: Annotated[int, Field(ge=0)] = Field(description="left edge")
    y: Annotated[int, Field(ge=0)] = Field(description="upper edge")
    size: Annotated[int, Field(ge=1)] = Field(description="pixels along a side")


class OperationConfig(Section):
    """How a job runs. Nothing here changes a result beyond rounding and random draws; changing it reruns nothing."""

    print_every: Positive = Field(100, description="steps between lines of the log and rows of the history")
    save_every: Positive = Field(5000, description="steps between checkpoints")
    save_minutes: Annotated[float, Field(gt=0)] = Field(5.0, description="minutes between checkpoints")
    keep_checkpoints: Positive = Field(3, description="newest checkpoints that are kept")
    microbatch_rays: Annotated[int, Field(ge=0)] = Field(
        0, description="rays computed at a time within a batch, whose gradients add up; 0 lets the suite choose"
    )
    render_rays: Annotated[int, Field(ge=0)] = Field(0, description="rays rendered at a time; 0 lets the suite choose")
    network: Literal["auto", "plain", "compiled", "fused"] = Field(
        "auto",
        description="what computes it: PyTorch's operations, these compiled, or kernels in Triton; auto measures them "
        "on a GPU and is plain on a CPU",
    )
    validate_every: Annotated[int, Field(ge=0)] | None = Field(
        None, description="steps between looks at validation views; null: twenty over the training, 0: never"
    )
    validate_views: Positive = Field(1, description="validation views, evenly spread")
    validate_level: Annotated[int, Field(ge=0)] | None = Field(
        None, description="resolution level at which they are rendered; null: the coarsest, which costs least"
    )
    tensorboard: bool = Field(False, description="write the history for TensorBoard, too; needs the extra tensorboard")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes the first GPU, if any")
    download_attempts: Positive = Field(5, description="a URL is given up after so many that bring nothing new")
    download_backoff: Fraction = Field(1.0, description="seconds before the second attempt; twice as many each time")
    download_timeout: Annotated[float, Field(gt=0)] = Field(60.0, description="seconds to wait for the next byte")
    keep_downloads: bool = Field(False, description="keep archives of single scenes after they are unpacked")
