"""The network and its samples: every hyper-parameter of the model, with the defaults of google/mipnerf."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mipnerf.config.sections import Fraction, Positive, Section, without_defaults

Activation = Literal["softplus", "relu", "sigmoid"]


class ModelConfig(Section):
    """The network and its samples (`MipNerfModel` and `MLP` of google/mipnerf)."""

    num_samples: Positive = Field(128, description="samples per level")
    num_fine_samples: Annotated[int, Field(ge=0)] = Field(
        0, description="with ray_shape point: samples that each further level adds to those before it"
    )
    num_levels: Positive = Field(2, description="sampling levels")
    single_mlp: bool = Field(True, description="one network for all levels; else the last level has one of its own")
    proposal_depth: Annotated[int, Field(ge=0)] = Field(
        0,
        description="with single_mlp false: layers of the network of all levels but the last, which proposes where "
        "to sample (beyond the paper); 0: as many as the other has",
    )
    proposal_width: Positive = Field(
        32, description="with proposal_depth: width of those layers; half of it where the direction is seen"
    )
    resample_padding: Fraction = Field(0.01, description="added to the blurred weights before resampling")
    stop_level_grad: bool = Field(True, description="no gradient from one level's samples to the previous weights")
    use_viewdirs: bool = Field(True, description="colour depends on the viewing direction")
    lindisp: bool = Field(False, description="sample linearly in disparity; near must be positive")
    contraction: Literal["none", "mip360"] = Field(
        "none", description="mip360 draws all space into a ball, for backgrounds without end (beyond the paper)"
    )
    contraction_radius: Annotated[float, Field(gt=0)] = Field(
        4.0, description="with contraction: how far around the origin space is left as it is, in units of the scene"
    )
    ray_shape: Literal["cone", "cylinder", "point"] = Field(
        "cone", description="shape of the sampled volume; points are the samples of NeRF"
    )
    min_deg_point: Annotated[int, Field(ge=0)] = Field(0, description="lowest degree of the position's encoding")
    max_deg_point: Annotated[int, Field(ge=1, le=32)] = Field(
        16, description="degree above the highest of the position's encoding"
    )
    append_identity: bool = Field(False, description="the position itself is a part of its encoding, as in NeRF")
    deg_view: Annotated[int, Field(ge=0)] = Field(4, description="degrees of the direction's encoding")
    density_activation: Activation = Field("softplus", description="maps raw density to density")
    density_noise: Fraction = Field(0.0, description="standard deviation of noise on raw density while training")
    density_bias: float = Field(-1.0, description="added to raw density before its activation")
    rgb_activation: Activation = Field("sigmoid", description="maps raw colour to colour")
    rgb_padding: Fraction = Field(0.001, description="colours may leave [0, 1] by this much")
    empty_distance: Literal["near", "far"] = Field("near", description="distance of a ray that meets nothing")
    disable_integration: bool = Field(False, description="encode points, not volumes: the ablation w/o IPE")
    net_depth: Positive = Field(8, description="layers before the density")
    net_width: Positive = Field(256, description="width of those layers")
    net_depth_condition: Annotated[int, Field(ge=0)] = Field(1, description="layers that see the direction")
    net_width_condition: Positive = Field(128, description="width of those layers")
    net_activation: Activation = Field("relu", description="activation of the hidden layers")
    skip_layer: Positive = Field(4, description="the input joins again after every this many layers")
    num_rgb_channels: Literal[3] = Field(3, description="channels of the colour")
    num_density_channels: Literal[1] = Field(1, description="channels of the density")

    @model_validator(mode="after")
    def _degrees_are_ordered(self) -> Self:
        if self.max_deg_point <= self.min_deg_point:
            raise ValueError(f"max_deg_point {self.max_deg_point} must exceed min_deg_point {self.min_deg_point}")
        return self

    @model_validator(mode="after")
    def _only_points_are_added(self) -> Self:
        if (self.ray_shape == "point") != (self.num_fine_samples > 0):
            raise ValueError(
                f"ray_shape {self.ray_shape} does not go with num_fine_samples {self.num_fine_samples}: "
                "points need at least 1, cones and cylinders 0"
            )
        if self.ray_shape == "point" and self.num_samples < 4:
            raise ValueError(f"num_samples {self.num_samples} must be at least 4 with ray_shape point")
        return self

    @model_validator(mode="after")
    def _volumes_are_contracted(self) -> Self:
        if self.contraction != "none" and self.ray_shape == "point":
            raise ValueError(
                f"contraction {self.contraction} does not go with ray_shape point: Gaussians are contracted; allowed "
                "are cone and cylinder, or contraction none"
            )
        return self

    @model_validator(mode="after")
    def _proposals_are_of_another_network(self) -> Self:
        if self.proposal_depth and (self.single_mlp or self.num_levels < 2):
            raise ValueError(
                f"proposal_depth {self.proposal_depth} needs single_mlp false and num_levels of at least 2: proposals "
                "come from a network of their own, for another level"
            )
        return self

    @property
    def coarse(self) -> Self:
        """As if the network of all levels but the last were that of the last."""
        if not self.proposal_depth:
            return self
        width = {"net_width": self.proposal_width, "net_width_condition": -(-self.proposal_width // 2)}
        return self.model_copy(update={"net_depth": self.proposal_depth, **width})

    @property
    def samples_disparity(self) -> bool:
        """Whether samples are spaced by disparity, so that near must be positive."""
        return self.lindisp or self.contraction != "none"

    @model_serializer(mode="wrap")
    def _as_before_there_were_more(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        if self.contraction == "none":
            values = without_defaults(values, {"contraction": "none", "contraction_radius": 4.0})
        if not self.proposal_depth:
            values = without_defaults(values, {"proposal_depth": 0, "proposal_width": 32})
        return values
