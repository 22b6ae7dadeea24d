"""Cameras and rays: from pixels of posed images to the cones that the network is trained on."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mipnerf.config import DataConfig
from mipnerf.datasets.lens import Coefficients, pull_back, ray_step, to_ray, undistort
from mipnerf.datasets.scene import Scene

# A pixel's cone has the standard deviation of a uniform square of its width (section 3.1).
RADIUS_PER_PIXEL_WIDTH = 2 / 12**0.5


@dataclass(frozen=True)
class Rays:
    """N rays. `directions` are not normalised; `radii` are those of the cone at unit distance along them."""

    origins: Tensor  # [N, 3]
    directions: Tensor  # [N, 3]
    viewdirs: Tensor  # [N, 3], of unit length except in NDC
    radii: Tensor  # [N, 1]
    lossmult: Tensor  # [N, 1]
    near: Tensor  # [N, 1]
    far: Tensor  # [N, 1]

    def __len__(self) -> int:
        return self.origins.shape[0]

    @property
    def meet_box(self) -> Tensor:
        """[N] bool: whether anything is between near and far, which for rays that miss the box are the same."""
        return (self.far > self.near)[:, 0]

    def __getitem__(self, index: slice | Tensor) -> Self:
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True)
class Cameras:
    """V cameras on the device; without lenses, everything but the pixel's position is a constant of its view."""

    # [V, 3, 3]: direction = matrix @ (x + pixel_offset, y + pixel_offset, 1); with lenses, what they distort it to.
    pixel_to_direction: Tensor
    origins: Tensor  # [V, 3]
    radii: Tensor  # [V], without NDC
    lossmults: Tensor  # [V]
    nears: Tensor  # [V]
    fars: Tensor  # [V]
    sizes: Tensor  # [V, 2] int64, columns and rows of pixels
    planes: Tensor  # [V, 2], width and height of the image plane at unit distance
    ndc: bool = False  # rays are taken to normalised device coordinates
    pixel_offset: float = 0.5  # 0: rays pass through the upper left corners of pixels
    unit_viewdirs: bool = True  # with NDC; the reference leaves them at the length of the directions
    lenses: Tensor | None = None  # [V, 14], the rows of `Lens`; None where all are pinholes
    rotations: Tensor | None = None  # [V, 3, 3], camera to world, beside lenses
    box: Tensor | None = None  # [2, 3], the corners of what holds the scene; None: all there is between the bounds

    @classmethod
    def from_scene(cls, scene: Scene, device: torch.device | str = "cpu", data: DataConfig | None = None) -> Self:
        """Cameras of all views; products are taken in float64 and stored in float32.

        Of `data` (default: `DataConfig()`) it honours `use_pixel_centers`, `ndc_unit_viewdirs` and `box`.
        """
        data = data or DataConfig()
        rotations, matrices = scene.camtoworlds[:, :, :3], scene.pix2cams
        if scene.lenses is None:
            matrices = np.einsum("vij,vjk->vik", rotations, matrices)
        # Neighbouring rows differ by the matrix's second column (the reference's rule, constant without NDC).
        radii = np.linalg.norm(matrices[:, :, 1], axis=-1) * RADIUS_PER_PIXEL_WIDTH

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device)

        lenses = {}
        if scene.lenses is not None:
            lenses = {"lenses": tensor(np.stack([lens.row() for lens in scene.lenses])), "rotations": tensor(rotations)}
        return cls(
            pixel_to_direction=tensor(matrices),
            origins=tensor(scene.camtoworlds[:, :, 3]),
            radii=tensor(radii),
            lossmults=tensor(scene.lossmults),
            nears=tensor(scene.nears),
            fars=tensor(scene.fars),
            sizes=torch.as_tensor(np.stack([scene.widths, scene.heights], axis=-1), device=device),
            # The principal point is the middle of the image plane, also where pixels are cut off.
            planes=tensor(scene.pix2cams[:, :2, 2] * [-2, 2]),
            ndc=scene.ndc,
            pixel_offset=0.5 if data.use_pixel_centers else 0.0,
            unit_viewdirs=data.ndc_unit_viewdirs or not scene.ndc,
            box=None if data.box is None else tensor(np.reshape(data.box, (2, 3))),
            **lenses,
        )

    def supersampled(self, k: int) -> Self:
        """The same image planes with `k` x `k` finer pixels; rays of weight and bounds as before."""
        finer = torch.tensor([1 / k, 1 / k, 1], device=self.origins.device)
        return replace(
            self,
            pixel_to_direction=self.pixel_to_direction * finer,
            radii=self.radii / k,
            sizes=self.sizes * k,
        )

    def resized(self, scales: Tensor, sizes: Tensor) -> Self:
        """The same views with `scales` [V] times as many pixels a side; `sizes` [V, 2] of them around the middle."""
        scales = scales.to(self.origins)[:, None]
        # What the new middle lies away from the old one, in old pixels.
        shift = (0.5 * self.sizes - 0.5 * sizes / scales).to(self.origins)
        matrices = self.pixel_to_direction.clone()
        matrices[:, :, 2] += (matrices[:, :, :2] * shift[:, None]).sum(-1)
        matrices[:, :, :2] /= scales[:, None]
        return replace(self, pixel_to_direction=matrices, radii=self.radii / scales[:, 0], sizes=sizes)

    def cast(self, view: Tensor, x: Tensor, y: Tensor) -> Rays:
        """Rays through pixels: view, column x and row y, each an integer tensor [N].

        In NDC (`LLFF._generate_rays` of the reference) origins, directions and radii are those of the warped rays, and
        `viewdirs` still the directions in the world. Through a lens, a radius is that of the pixel's own neighbours.
        """
        origins = self.origins[view]
        if self.lenses is None:
            directions, radii = self._directions(view, x, y), self.radii[view, None]
        else:
            directions, radii = self._through_lenses(view, x, y, self.lenses[view])
        viewdirs = directions
        if self.unit_viewdirs:
            viewdirs = directions / torch.linalg.norm(directions, dim=-1, keepdim=True)
        if self.ndc:
            radii = self._ndc_radii(view, x, y)
            origins, directions = self._to_ndc(view, directions)
        near, far = self.nears[view, None], self.fars[view, None]
        if self.box is not None:
            near, far = within_box(origins, directions, near, far, self.box)
        return Rays(
            origins=origins,
            directions=directions,
            viewdirs=viewdirs,
            radii=radii,
            lossmult=self.lossmults[view, None],
            near=near,
            far=far,
        )

    def _directions(self, view: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """[..., N, 3] of the pixels x, y [..., N] of the views [N]."""
        dtype = self.pixel_to_direction.dtype
        x, y = x.to(dtype) + self.pixel_offset, y.to(dtype) + self.pixel_offset
        pixel = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        return (self.pixel_to_direction[view] * pixel[..., None, :]).sum(-1)

    def _through_lenses(self, view: Tensor, x: Tensor, y: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Directions [N, 3] and radii [N, 1] of the pixels of the views [N], whose lenses have the `rows` [N, 14]."""
        assert self.rotations is not None
        lens = Coefficients(*rows.unbind(-1))
        right, up, _ = self._directions(view, x, y).unbind(-1)
        u, v, by_plane = undistort(lens, right, -up)  # lenses look along z, with y down
        across, down, forward = to_ray(lens, u, v)
        directions = torch.stack([across, -down, -forward], dim=-1)
        steps = self.pixel_to_direction[view]
        # Half the sum of the ways to the next column and the next row, as in NDC.
        ways = [ray_step(lens, u, v, *pull_back(by_plane, steps[:, 0, axis], -steps[:, 1, axis])) for axis in (0, 1)]
        radii = 0.5 * (ways[0] + ways[1]) * RADIUS_PER_PIXEL_WIDTH
        return (self.rotations[view] * directions[:, None]).sum(-1), radii[:, None]

    def _to_ndc(self, view: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and directions [..., N, 3] in NDC of rays of the views [N]."""
        width, height = self.planes[view].unbind(-1)
        return convert_to_ndc(self.origins[view], directions, focal=1.0, w=width, h=height)

    def _ndc_radii(self, view: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """[N, 1]: half the sum of the distances of a pixel's origin to those of the next row and column, scaled.

        As in the reference, the last row (column) has the distances of the last but two to the last but one.
        """
        columns, rows = self.sizes[view].unbind(-1)
        left = torch.where(x == columns - 1, (columns - 3).clamp(min=0), x)
        top = torch.where(y == rows - 1, (rows - 3).clamp(min=0), y)
        corners = self._directions(view, torch.stack([x, x, left, left + 1]), torch.stack([top, top + 1, y, y]))
        above, below, before, after = self._to_ndc(view, corners)[0]
        distances = torch.linalg.norm(below - above, dim=-1) + torch.linalg.norm(after - before, dim=-1)
        return 0.5 * distances[:, None] * RADIUS_PER_PIXEL_WIDTH


def within_box(origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays from near to far, each [..., 1], are in a box, from and to [..., 1]; both near where they never are.

    Args:
        origins, directions: [..., 3].
        box: [2, 3], its lowest and its highest corner.
    """
    # A direction within a pair of faces is never parallel to them, nor a quotient 0 / 0.
    directions = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    lowest, highest = (box[0] - origins) / directions, (box[1] - origins) / directions
    first = torch.minimum(lowest, highest).amax(-1, keepdim=True).clamp(near, far)
    last = torch.maximum(lowest, highest).amin(-1, keepdim=True).clamp(near, far)
    is_met = last > first
    return torch.where(is_met, first, near), torch.where(is_met, last, near)


def convert_to_ndc(
    origins: Tensor, directions: Tensor, focal: float, w: float | Tensor, h: float | Tensor, near: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rays [..., 3] of a forward-facing camera in normalised device coordinates (appendix C of the NeRF paper).

    The image plane is `w` x `h` (numbers or [...]) at the distance `focal`.
    """
    t = -(near + origins[..., 2]) / (directions[..., 2] + 1e-15)
    origins = origins + t[..., None] * directions
    ox, oy, oz = origins.unbind(-1)
    dx, dy, dz = directions.unbind(-1)
    scale_x, scale_y = -2 * focal / w, -2 * focal / h
    ndc_origins = torch.stack([scale_x * (ox / oz), scale_y * (oy / oz), 1 + 2 * near / oz], dim=-1)
    ndc_directions = torch.stack([scale_x * (dx / dz - ox / oz), scale_y * (dy / dz - oy / oz), -2 * near / oz], dim=-1)
    return ndc_origins, ndc_directions


def image_rays(cameras: Cameras, view: int, height: int, width: int) -> Rays:
    """All rays of a view, row by row: [height * width]."""
    device = cameras.origins.device
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return cameras.cast(torch.full((height * width,), view, device=device), x.flatten(), y.flatten())
