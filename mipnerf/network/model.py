"""The networks of mip-NeRF, one MLP evaluated at every level of samples, and of its baselines."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mipnerf.cameras import Rays
from mipnerf.config import ModelConfig
from mipnerf.network import contraction, fused, mip, nerf
from mipnerf.network.encoding import encode_by_doubling
from mipnerf.network.folded import folded_mlp
from mipnerf.network.packing import Launch
from mipnerf.network.pruning import prune_gradients

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"softplus": F.softplus, "relu": F.relu, "sigmoid": torch.sigmoid}


class LevelOutput(NamedTuple):
    """What one level of samples gives for N rays and S samples a ray."""

    rgb: Tensor  # [N, 3]
    distance: Tensor  # [N], along the ray in units of its direction
    acc: Tensor  # [N], opacity in [0, 1]
    weights: Tensor  # [N, S]
    t_vals: Tensor  # [N, S+1]; [N, S] where samples are points
    density: Tensor  # [N, S, 1], after its activation
    sample_rgb: Tensor  # [N, S, 3], after its activation and padding


def _linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """A dense layer initialised as the reference does: Glorot-uniform weights, zero biases."""
    layer = nn.Linear(num_inputs, num_outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _listed(layers: list[nn.Linear]) -> Sequence[nn.Linear]:
    """Layers as a part of a module; PyTorch's list does not tell of what."""
    return cast(Sequence[nn.Linear], nn.ModuleList(layers))


def _apply_to_pair(layer: nn.Linear, hidden: Tensor, extra: Tensor | None) -> Tensor:
    """`layer` of the concatenation of `hidden` and `extra` [..., D], which is never made.

    The two products are added instead. `extra` may have leading dimensions of size 1, which are computed once.
    """
    if extra is None:
        return layer(hidden)
    width = hidden.shape[-1]
    return F.linear(hidden, layer.weight[:, :width]) + F.linear(extra, layer.weight[:, width:], layer.bias)


def dtype_of_products(x: Tensor) -> torch.dtype:
    """The type in which the network multiplies what it makes of `x`."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class MLP(nn.Module):
    """Encoded positions and directions to raw colour and density (`MLP` of google/mipnerf)."""

    def __init__(self, config: ModelConfig, num_position_features: int, num_direction_features: int):
        super().__init__()
        self.skip_layer = config.skip_layer
        self.activation = _ACTIVATIONS[config.net_activation]
        width = num_position_features
        layers = []
        for i in range(config.net_depth):
            layers.append(_linear(width, config.net_width))
            width = config.net_width + (num_position_features if self.skips_after(i) else 0)
        self.layers = _listed(layers)
        self.density_layer = _linear(width, config.num_density_channels)
        bottleneck_layer, condition_layers = None, []
        if num_direction_features:
            bottleneck_layer = _linear(width, config.net_width)
            width = config.net_width + num_direction_features
            for _ in range(config.net_depth_condition):
                condition_layers.append(_linear(width, config.net_width_condition))
                width = config.net_width_condition
        # In this order, which is that of the parameters in a checkpoint.
        self.condition_layers = _listed(condition_layers)
        self.bottleneck_layer = bottleneck_layer
        self.rgb_layer = _linear(width, config.num_rgb_channels)

    def skips_after(self, i: int) -> bool:
        """Whether the features join the output of trunk layer `i`."""
        return i > 0 and i % self.skip_layer == 0

    def linear_layers(self) -> Iterator[nn.Linear]:
        """All layers in the order of the reference's Dense_0, Dense_1, ..."""
        yield from self.layers
        yield self.density_layer
        if self.bottleneck_layer is not None:
            yield self.bottleneck_layer
        yield from self.condition_layers
        yield self.rgb_layer

    def evaluate(self, x: Tensor, condition: Tensor | None = None, is_sparse: bool = False) -> tuple[Tensor, Tensor]:
        """As `forward`, the faster way where there is one: what is rectified, of samples that need no gradient.

        `is_sparse` says that many samples will give none either.
        """
        if self.activation is not F.relu or x.requires_grad:
            return self(x, condition)
        return folded_mlp(self, x, condition, dtype_of_products(x), is_sparse)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Raw rgb [N, S, 3] and raw density [N, S, 1] of features x [N, S, F] and condition [N, D]."""
        hidden, extra = x, None
        for i, layer in enumerate(self.layers):
            hidden = self.activation(_apply_to_pair(layer, hidden, extra))
            extra = x if self.skips_after(i) else None
        raw_density = _apply_to_pair(self.density_layer, hidden, extra)
        if condition is not None:
            if self.bottleneck_layer is None:
                raise ValueError("this network takes no directions")
            hidden = _apply_to_pair(self.bottleneck_layer, hidden, extra)
            extra = condition[:, None, :]
            for layer in self.condition_layers:
                hidden = self.activation(_apply_to_pair(layer, hidden, extra))
                extra = None
        return _apply_to_pair(self.rgb_layer, hidden, extra), raw_density


class MipNerf(nn.Module):
    """mip-NeRF (`MipNerfModel` of google/mipnerf), or a baseline of it. Computes in the dtype of its parameters."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.fused: Launch | None = None  # how the kernels of `fused` are started, if they compute the network
        self.backward_share = 1.0  # of the samples while training: `train.backward_share`
        num_position_features = 6 * (config.max_deg_point - config.min_deg_point) + 3 * config.append_identity
        num_direction_features = 3 + 6 * config.deg_view if config.use_viewdirs else 0
        # The network of all levels but the last, where that has one of its own.
        self.coarse_mlp = None
        if not config.single_mlp:
            self.coarse_mlp = MLP(config.coarse, num_position_features, num_direction_features)
        self.mlp = MLP(config, num_position_features, num_direction_features)

    def forward(
        self, rays: Rays, randomized: bool, white_bkgd: bool, generator: torch.Generator | None = None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Render N rays: for each level, the coarsest first, rgb [N, 3], distance [N] and acc [N]."""
        return [
            (level.rgb, level.distance, level.acc)
            for level in self.render_levels(rays, randomized, white_bkgd, generator)
        ]

    def render_levels(
        self, rays: Rays, randomized: bool, white_bkgd: bool, generator: torch.Generator | None = None
    ) -> list[LevelOutput]:
        """As `forward`, with all that the levels are made of."""
        config = self.config
        condition = mip.pos_enc(rays.viewdirs, 0, config.deg_view) if config.use_viewdirs else None
        volumetric_rendering = (nerf if config.ray_shape == "point" else mip).volumetric_rendering
        outputs: list[LevelOutput] = []
        for i in range(config.num_levels):
            previous = outputs[-1] if outputs else None
            if config.ray_shape == "point":
                t_vals, means = self._sample_points(rays, previous, randomized, generator)
                covs = None
            else:
                sample = self._sample_volumes if config.contraction == "none" else self._sample_contracted
                t_vals, (means, covs) = sample(rays, previous, randomized, generator)
            mlp = self.mlp if self.coarse_mlp is None or i == config.num_levels - 1 else self.coarse_mlp
            rgb, density = self._evaluate(mlp, means, covs, condition, randomized, generator)
            comp_rgb, distance, acc, weights = volumetric_rendering(
                rgb, density, t_vals, rays.directions, white_bkgd, config.empty_distance
            )
            if config.contraction != "none":
                distance = contraction.mean_disparity_distance(weights, t_vals, acc, config.empty_distance)
            outputs.append(LevelOutput(comp_rgb, distance, acc, weights, t_vals, density, rgb))
        return outputs

    def query(self, means: Tensor, covs: Tensor, viewdirs: Tensor) -> tuple[Tensor, Tensor]:
        """Colour [N, S, 3] and density [N, S, 1] of the finest level's network, without noise.

        Args:
            means: [N, S, 3], in the coordinates of the rays: NDC where these are.
            covs: [N, S, 3], diagonals of the covariances; not looked at by a network of points.
            viewdirs: [N, 3], each for S samples.
        """
        config = self.config
        condition = mip.pos_enc(viewdirs, 0, config.deg_view) if config.use_viewdirs else None
        if config.ray_shape == "point":
            return self._evaluate(self.mlp, means, None, condition, randomized=False, generator=None)
        if config.contraction != "none":
            means, covs = contraction.contract_gaussians(means, covs, config.contraction_radius)
        return self._evaluate(self.mlp, means, covs, condition, randomized=False, generator=None)

    def _sample_volumes(
        self, rays: Rays, previous: LevelOutput | None, randomized: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """t_vals [N, S+1] and the Gaussians of the intervals between them."""
        config = self.config
        if previous is None:
            return mip.sample_along_rays(
                rays.origins,
                rays.directions,
                rays.radii,
                config.num_samples,
                rays.near,
                rays.far,
                randomized,
                config.lindisp,
                config.ray_shape,
                generator=generator,
            )
        return mip.resample_along_rays(
            rays.origins,
            rays.directions,
            rays.radii,
            previous.t_vals,
            previous.weights,
            randomized,
            config.ray_shape,
            config.stop_level_grad,
            config.resample_padding,
            generator=generator,
        )

    def _sample_contracted(
        self, rays: Rays, previous: LevelOutput | None, randomized: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `_sample_volumes`, even in disparity and of contracted space."""
        config = self.config
        if previous is None:
            t_vals = contraction.stratified_t_vals(config.num_samples + 1, rays.near, rays.far, randomized, generator)
        else:
            t_vals = contraction.resampled_t_vals(
                previous.t_vals,
                previous.weights,
                randomized,
                config.stop_level_grad,
                config.resample_padding,
                generator=generator,
            )
        return t_vals, contraction.cast_rays(
            t_vals, rays.origins, rays.directions, rays.radii, config.ray_shape, config.contraction_radius
        )

    def _sample_points(
        self, rays: Rays, previous: LevelOutput | None, randomized: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """t_vals [N, S] and the points there [N, S, 3]."""
        config = self.config
        if previous is None:
            return nerf.sample_along_rays(
                rays.origins,
                rays.directions,
                config.num_samples,
                rays.near,
                rays.far,
                randomized,
                config.lindisp,
                generator=generator,
            )
        return nerf.sample_pdf(
            rays.origins,
            rays.directions,
            previous.t_vals,
            previous.weights,
            config.num_fine_samples,
            randomized,
            generator=generator,
        )

    def _raw(
        self, mlp: MLP, means: Tensor, covs: Tensor | None, condition: Tensor | None, is_sparse: bool
    ) -> tuple[Tensor, Tensor]:
        """What `mlp` gives for samples, before all activations; those without `covs` are points."""
        if covs is not None and self.config.disable_integration:
            covs = torch.zeros_like(covs)
        if self.fused is None:
            return mlp.evaluate(self._encode(means, covs), condition, is_sparse)
        encoding, dtype = fused.encoding_of(self.config), dtype_of_products(means)
        return fused.fused_network(mlp, means, covs, condition, encoding, dtype, self.fused)

    def _encode(self, means: Tensor, covs: Tensor | None) -> Tensor:
        """Features [N, S, F] of Gaussians, or of points."""
        config = self.config
        if covs is None:
            return mip.pos_enc(means, config.min_deg_point, config.max_deg_point, config.append_identity)
        dtype = dtype_of_products(means)
        if dtype is torch.bfloat16 and not means.requires_grad:
            features = encode_by_doubling(means, covs, config.min_deg_point, config.max_deg_point, dtype)
        else:
            features = mip.integrated_pos_enc((means, covs), config.min_deg_point, config.max_deg_point)
        return torch.cat([means, features], dim=-1) if config.append_identity else features

    def _evaluate(
        self,
        mlp: MLP,
        means: Tensor,
        covs: Tensor | None,
        condition: Tensor | None,
        randomized: bool,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """Colour [N, S, 3] and density [N, S, 1] of samples."""
        config = self.config
        prunes = randomized and self.backward_share < 1
        # Which samples have a gradient is known neither to the host of a GPU nor to a compiler.
        is_sparse = prunes and means.device.type == "cpu" and not torch.compiler.is_compiling()
        raw_rgb, raw_density = self._raw(mlp, means, covs, condition, is_sparse)
        # The network may have run in bfloat16; what follows never does.
        dtype = mlp.rgb_layer.weight.dtype
        raw_rgb, raw_density = raw_rgb.to(dtype), raw_density.to(dtype)
        if prunes:
            raw_rgb, raw_density = prune_gradients(raw_rgb, raw_density, self.backward_share, generator)
        if randomized and config.density_noise > 0:
            noise = torch.randn(
                raw_density.shape, dtype=raw_density.dtype, device=raw_density.device, generator=generator
            )
            raw_density = raw_density + config.density_noise * noise
        rgb = _ACTIVATIONS[config.rgb_activation](raw_rgb)
        rgb = rgb * (1 + 2 * config.rgb_padding) - config.rgb_padding
        return rgb, _ACTIVATIONS[config.density_activation](raw_density + config.density_bias)
