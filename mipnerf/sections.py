"""Sections of the configuration that stand by themselves, and what all sections share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Refuses unknown keys and values of another type; a whole number may stand for a real one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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


class CropConfig(Section):
    """A square of a test view, in pixels of full resolution."""

    view: Annotated[int, Field(ge=0)] = Field(description="index of the view in the test split")
    x: Annotated[int, Field(ge=0)] = Field(description="left edge")
    y: Annotated[int, Field(ge=0)] = Field(description="upper edge")
    size: Annotated[int, Field(ge=1)] = Field(description="pixels along a side")
