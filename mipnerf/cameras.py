"""Cameras and rays: from pixels of posed images to the cones that the network is trained on."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mipnerf.datasets.scene import Scene

# A pixel's cone has the standard deviation of a uniform square of its width (section 3.1).
RADIUS_PER_PIXEL_WIDTH = 2 / 12**0.5


@dataclass(frozen=True)
class Rays:
    """N rays. `directions` are not normalised; `radii` are those of the cone at unit distance along them."""

    origins: Tensor  # [N, 3]
    directions: Tensor  # [N, 3]
    viewdirs: Tensor  # [N, 3], of unit length
    radii: Tensor  # [N, 1]
    lossmult: Tensor  # [N, 1]
    near: Tensor  # [N, 1]
    far: Tensor  # [N, 1]

    def __len__(self) -> int:
        return self.origins.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True)
class Cameras:
    """V cameras on the device; everything but the pixel's position is a constant of its view."""

    pixel_to_direction: Tensor  # [V, 3, 3]: direction = matrix @ (x + 0.5, y + 0.5, 1)
    origins: Tensor  # [V, 3]
    radii: Tensor  # [V]
    lossmults: Tensor  # [V]
    nears: Tensor  # [V]
    fars: Tensor  # [V]

    @classmethod
    def from_scene(cls, scene: Scene, device: torch.device | str = "cpu") -> Self:
        """Cameras of all views; products are taken in float64 and stored in float32."""
        matrices = np.einsum("vij,vjk->vik", scene.camtoworlds[:, :, :3], scene.pix2cams)
        # Neighbouring rows differ by the matrix's second column (the reference's rule, constant without NDC).
        radii = np.linalg.norm(matrices[:, :, 1], axis=-1) * RADIUS_PER_PIXEL_WIDTH

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device)

        return cls(
            pixel_to_direction=tensor(matrices),
            origins=tensor(scene.camtoworlds[:, :, 3]),
            radii=tensor(radii),
            lossmults=tensor(scene.lossmults),
            nears=tensor(scene.nears),
            fars=tensor(scene.fars),
        )

    def cast(self, view: Tensor, x: Tensor, y: Tensor) -> Rays:
        """Rays through the centres of pixels: view, column x and row y, each an integer tensor [N]."""
        dtype = self.pixel_to_direction.dtype
        pixel = torch.stack([x.to(dtype) + 0.5, y.to(dtype) + 0.5, torch.ones_like(x, dtype=dtype)], dim=-1)
        directions = (self.pixel_to_direction[view] * pixel[:, None, :]).sum(-1)
        return Rays(
            origins=self.origins[view],
            directions=directions,
            viewdirs=directions / torch.linalg.norm(directions, dim=-1, keepdim=True),
            radii=self.radii[view, None],
            lossmult=self.lossmults[view, None],
            near=self.nears[view, None],
            far=self.fars[view, None],
        )


def convert_to_ndc(
    origins: Tensor, directions: Tensor, focal: float, w: int, h: int, near: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rays [..., 3] of a forward-facing camera in normalised device coordinates (appendix C of the NeRF paper)."""
    t = -(near + origins[..., 2]) / (directions[..., 2] + 1e-15)
    origins = origins + t[..., None] * directions
    ox, oy, oz = origins.unbind(-1)
    dx, dy, dz = directions.unbind(-1)
    scale_x, scale_y = -2 * focal / w, -2 * focal / h
    ndc_origins = torch.stack([scale_x * (ox / oz), scale_y * (oy / oz), 1 + 2 * near / oz], dim=-1)
    ndc_directions = torch.stack([scale_x * (dx / dz - ox / oz), scale_y * (dy / dz - oy / oz), -2 * near / oz], dim=-1)
    return ndc_origins, ndc_directions
