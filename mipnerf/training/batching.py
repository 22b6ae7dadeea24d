"""Random batches of pixels and their rays, made on the device from integer pixels and cameras."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mipnerf.cameras import Cameras, Rays
from mipnerf.config import DataConfig, RunConfig
from mipnerf.datasets.scene import Scene
from mipnerf.errors import ConfigError
from mipnerf.pixels import integer_tensor, is_foreground, to_rgb

# On a CPU, samples computed at a time: enough to be worth a thread, few enough to stay in its caches.
CPU_MICROBATCH_SAMPLES = 6 << 10
MASKED_RAYS = 1 << 18  # of a view, looked at together


@dataclass(frozen=True)
class Batch:
    """N rays, the colours [N, 3] in [0, 1] that they should have, and how much each [N, 1] stands for.

    `importance` is the probability with which a pixel is drawn uniformly, over that with which it was: as a weight of
    the loss it makes its expectation that of uniform draws.
    """

    rays: Rays
    pixels: Tensor
    importance: Tensor


class RayBatcher:
    """Draws batches from all pixels of all views; holds the pixels as they are and never a ray.

    `data.batching` is `all_images` (uniform over all pixels, with replacement, so most are of full resolution),
    `single_image` (a view for the whole batch, then its pixels), both as in the reference, or `all_levels` (for each
    ray a view of any level, then a pixel of it: every level as often, so the heavy pixels of the coarse levels come
    often with little weight instead of seldom with much).

    With `data.foreground_tries` above 1, a ray whose pixel is transparent is drawn again, up to that many times in all:
    what the background teaches is soon learnt. `importance` makes up for it. Pixels that a mask hides are not there,
    nor are those whose rays miss `data.box`, of which nothing can be learnt.
    """

    def __init__(
        self,
        scene: Scene,
        batch_size: int,
        data: DataConfig = DataConfig(),
        device: torch.device | str = "cpu",
        seed: int = 0,
    ):
        self.batch_size, self.batching, self.white_bkgd = batch_size, data.batching, data.white_bkgd
        self.tries = data.foreground_tries
        if data.box is not None:
            scene = masked_to_box(scene, data)
        self.max_value = scene.max_value
        self.cameras = Cameras.from_scene(scene, device, data)
        self.colors = _flatten(scene.images, scene.masks).to(device)  # uint8 or int32 [P, 3 or 4]
        sizes = torch.tensor([h * w for h, w in zip(scene.heights, scene.widths, strict=True)])
        self.offsets = None  # int32 [P], where in its view a pixel is; None where all are there
        if scene.masks is not None:
            places = [np.flatnonzero(mask).astype(np.int32) for mask in scene.masks]
            sizes = torch.tensor([len(place) for place in places])
            self.offsets = torch.from_numpy(np.concatenate(places)).to(device)
        self.ends = torch.cumsum(sizes, 0).to(device)
        self.starts = self.ends - sizes.to(device)
        self.widths = torch.as_tensor(np.asarray(scene.widths), device=device)
        masks: list[np.ndarray | None] = [*scene.masks] if scene.masks else [None] * scene.num_views
        foreground = torch.tensor([_foreground(i, mask) for i, mask in zip(scene.images, masks, strict=True)])
        if data.batching == "all_images":  # no view is drawn by itself
            foreground = ((foreground * sizes).sum() / sizes.sum()).expand(len(sizes))
        self.foreground = foreground.to(device)
        self.generator = torch.Generator(device).manual_seed(seed)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        index, view = self._draw()
        offset = index - self.starts[view] if self.offsets is None else self.offsets[index].long()
        width = self.widths[view]
        y = torch.div(offset, width, rounding_mode="floor")
        rays = self.cameras.cast(view, offset - y * width, y)
        colors = self.colors[index]
        pixels = to_rgb(colors, self.white_bkgd, self.max_value)
        return Batch(rays, pixels, self._importance(view, is_foreground(colors))[:, None])

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Indices of pixels and of their views, [batch_size] each."""
        view = self._draw_views()
        index = self._draw_pixels(view)
        for _ in range(1, self.tries):
            index = torch.where(is_foreground(self.colors[index]), index, self._draw_pixels(view))
        return index, torch.searchsorted(self.ends, index, right=True) if view is None else view

    def _draw_views(self) -> Tensor | None:
        """The views of a batch, or nothing where any pixel of any view may be drawn."""
        if self.batching == "all_images":
            return None
        num_draws = 1 if self.batching == "single_image" else self.batch_size
        view = torch.randint(len(self.ends), (num_draws,), generator=self.generator, device=self.colors.device)
        return view.expand(self.batch_size)

    def _draw_pixels(self, view: Tensor | None) -> Tensor:
        """Random pixels [batch_size] of these views."""
        shape, device = (self.batch_size,), self.colors.device
        if view is None:
            return torch.randint(len(self.colors), shape, generator=self.generator, device=device)
        # A random fraction instead of an upper bound: the size of the view stays on the device.
        fraction = torch.rand(shape, dtype=torch.float64, generator=self.generator, device=device)
        size = self.ends[view] - self.starts[view]
        return self.starts[view] + torch.minimum((fraction * size).long(), size - 1)

    def _importance(self, view: Tensor, is_foreground: Tensor) -> Tensor:
        """[batch_size]: the weights of the views, and within them of foreground and background."""
        size = (self.ends[view] - self.starts[view]).to(torch.float32)
        weight = size * (len(self.ends) / len(self.colors)) if self.batching == "all_levels" else torch.ones_like(size)
        if self.tries == 1:
            return weight
        share = self.foreground[view]
        never = (1 - share) ** self.tries  # the probability of the background
        return weight * torch.where(is_foreground, share / (1 - never), (1 - share) / never)


def masked_to_box(scene: Scene, data: DataConfig) -> Scene:
    """`scene` with masks of the pixels whose rays meet `data.box`, and without the views that have none of them.

    Raises ConfigError where no view has any.
    """
    cameras = Cameras.from_scene(scene, "cpu", data)
    masks = [_meets_box(cameras, view) for view in range(scene.num_views)]
    if scene.masks is not None:
        masks = [is_met & mask for is_met, mask in zip(masks, scene.masks, strict=True)]
    views = np.flatnonzero([mask.any() for mask in masks])
    if not len(views):
        raise ConfigError(f"no training camera sees data.box {data.box} between near and far; correct it, or set null")
    return replace(scene, masks=masks).select(views)


def _meets_box(cameras: Cameras, view: int) -> np.ndarray:
    """[H, W] bool of a view, some of whose rays are in memory at a time."""
    width, height = cameras.sizes[view].tolist()
    blocks = [
        cameras.cast(torch.full_like(index, view), index % width, index // width).meet_box
        for index in torch.arange(width * height).split(MASKED_RAYS)
    ]
    return torch.cat(blocks).view(height, width).numpy()


def _foreground(image: np.ndarray, mask: np.ndarray | None) -> float:
    """The share of an image's pixels that are not transparent, of those that count."""
    if image.shape[-1] == 3:
        return 1.0
    alpha = image[..., 3] if mask is None else image[mask, 3]
    return float(np.count_nonzero(alpha) / alpha.size)


def _flatten(images: list[np.ndarray], masks: list[np.ndarray] | None) -> Tensor:
    if masks is not None:
        return integer_tensor(np.concatenate([image[mask] for image, mask in zip(images, masks, strict=True)]))
    return integer_tensor(np.concatenate([image.reshape(-1, image.shape[-1]) for image in images]))


def suitable_microbatch(run: RunConfig, device: torch.device) -> int:
    """Rays computed at a time: the whole batch, on a CPU what its caches hold, in equal parts for 2, 4, ... threads."""
    batch_size = run.train.batch_size
    if device.type != "cpu":
        return batch_size
    samples = run.model.num_samples + run.model.num_fine_samples
    num_parts = 2
    while batch_size * samples > num_parts * CPU_MICROBATCH_SAMPLES:
        num_parts *= 2
    return -(-batch_size // num_parts)
