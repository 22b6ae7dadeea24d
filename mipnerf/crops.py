"""The part of an image that is to be compared in detail. Free of torch, as the configuration is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class CropConfig(BaseModel):
    """A square of a test view, in pixels of full resolution."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    view: Annotated[int, Field(ge=0)] = Field(description="index of the view in the test split")
    x: Annotated[int, Field(ge=0)] = Field(description="left edge")
    y: Annotated[int, Field(ge=0)] = Field(description="upper edge")
    size: Annotated[int, Field(ge=1)] = Field(description="pixels along a side")
