"""A coloured mesh of the surface at which a trained density passes a threshold."""

import logging
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mipnerf.datasets.scene import Scene
from mipnerf.devices import autocast
from mipnerf.errors import ConfigError
from mipnerf.files import atomic_path
from mipnerf.network.rendering import suitable_chunk
from mipnerf.thirdparty import require_package
from mipnerf.views.renderer import Renderer

log = logging.getLogger(__name__)
MAX_RESOLUTION = 1024  # cells a side: 4 GB of densities
# In NDC all that is before the cameras is in a cube; near its end, at infinity, a cell holds any number of metres.
NDC_BOUNDS = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 0.9]])
# A layer of the default threshold, and of this share of the longest side, absorbs half of the light.
HALF_LAYER = 1 / 50


class Mesh(NamedTuple):
    """A surface of V vertices and F triangles, counter-clockwise as seen from outside."""

    vertices: np.ndarray  # [V, 3] float32
    normals: np.ndarray  # [V, 3] float32, unit length, towards lower density
    colors: np.ndarray  # [V, 3] uint8
    faces: np.ndarray  # [F, 3] int32


def extract_mesh(
    renderer: Renderer,
    bounds: np.ndarray,
    resolution: int = 256,
    threshold: float | None = None,
    plane: tuple[float, float] | None = None,
) -> Mesh:
    """The surface within `bounds` where the density of the finest level's network passes `threshold`.

    The network takes Gaussians, and is asked for those of the grid's cells: isotropic, with the variance of a cube of
    their size, so that a coarse grid gives a smooth surface instead of an aliased one. Colours are what it gives for
    looking along the negative normal.

    Args:
        bounds: [2, 3], lowest and highest corner, in the coordinates of the rays (NDC for LLFF that faces forward).
        resolution: cells along the longest side; all are cubes.
        threshold: density per unit of length; default: that of which a fiftieth of the longest side absorbs half.
        plane: width and height of the image plane at unit distance, where rays are in NDC: the mesh is then taken back
            to the world, where near things have finer cells than far ones.

    Raises:
        ConfigError: scikit-image is missing, the grid is impossible, or no density passes the threshold.
    """
    require_package("skimage")
    from skimage.measure import marching_cubes

    sides = bounds[1] - bounds[0]
    if not (np.isfinite(bounds).all() and (sides > 0).all()):
        raise ConfigError(f"bounds from {bounds[0].tolist()} to {bounds[1].tolist()} hold nothing; give MIN below MAX")
    if not 2 <= resolution <= MAX_RESOLUTION:
        raise ConfigError(f"resolution {resolution} must lie within 2 and {MAX_RESOLUTION}")
    cell = float(sides.max()) / resolution
    if sides.min() < cell:
        raise ConfigError(
            f"the bounds' sides {sides.tolist()} differ too much for cells of {cell:.3g}; give more cells"
        )
    if plane is not None and bounds[1, 2] >= 1:
        raise ConfigError(f"the bounds end at z = {bounds[1, 2]:g}; in NDC, 1 is infinitely far: give less")
    if threshold is None:
        threshold = math.log(2) / (HALF_LAYER * float(sides.max()))
    densities = density_grid(renderer, bounds, cell)
    least, most = float(densities.min()), float(densities.max())
    if not least < threshold < most:
        raise ConfigError(
            f"no surface: densities within the bounds are {least:.4g} to {most:.4g}, and none passes the threshold "
            f"{threshold:.4g}; give a --threshold between them, or other --bounds"
        )
    vertices, faces, _, _ = marching_cubes(
        densities, threshold, spacing=(cell,) * 3, gradient_direction="ascent", allow_degenerate=False
    )
    if len(faces) == 0:
        raise ConfigError(f"no surface at the threshold {threshold:.4g}; give another --threshold or --resolution")
    points = vertices + bounds[0]
    vertices = points if plane is None else ndc_to_world(points, plane)
    # The z of NDC grows away from the camera, that of the world towards it: a reflection.
    faces = faces if plane is None else faces[:, ::-1]
    normals = vertex_normals(vertices, faces)
    colors = vertex_colors(renderer, points, normals, cell)
    log.info("%d vertices and %d triangles at the density %.4g", len(vertices), len(faces), threshold)
    return Mesh(vertices.astype(np.float32), normals.astype(np.float32), colors, np.ascontiguousarray(faces, np.int32))


def bounds_of(scene: Scene) -> np.ndarray:
    """[2, 3]: in NDC nearly all of it, else the cube around the origin that the first view of `scene` shows there."""
    if scene.ndc:
        return NDC_BOUNDS
    distance = np.linalg.norm(scene.camtoworlds[0, :, 3])
    half = 0.5 * distance * max(plane_of(scene))
    return np.array([[-half] * 3, [half] * 3])


def plane_of(scene: Scene) -> tuple[float, float]:
    """Width and height of the first view's image plane at unit distance, as `Cameras` has them."""
    width, height = scene.pix2cams[0, :2, 2] * [-2, 2]
    return float(width), float(height)


def density_grid(renderer: Renderer, bounds: np.ndarray, cell: float) -> np.ndarray:
    """float32 [X, Y, Z]: densities at points `cell` apart, from the lowest corner as far as the bounds allow."""
    counts = [math.floor(side / cell + 1e-6) + 1 for side in bounds[1] - bounds[0]]
    device, config = renderer.device, renderer.trained.model.config
    lowest = torch.as_tensor(bounds[0], dtype=torch.float32, device=device)
    # Density does not depend on it, but the network needs one.
    direction = torch.tensor([[0.0, 0.0, -1.0]], device=device)
    chunk = suitable_chunk(config, device, renderer.precision) * config.num_samples
    total = math.prod(counts)

    def densities(start: int) -> Tensor:
        index = torch.arange(start, min(start + chunk, total), device=device)
        position = torch.stack(torch.unravel_index(index, counts), dim=-1)
        means = lowest + cell * position
        return _query(renderer, means[None], direction, cell)[1].flatten().cpu()

    grid = np.empty(total, dtype=np.float32)
    starts = range(0, total, chunk)
    # A few chunks at a time: nothing but the grid grows with the resolution.
    for block in tqdm(range(0, len(starts), 256), desc="density", unit="block", mininterval=5):
        chosen = starts[block : block + 256]
        for start, values in zip(chosen, renderer.workers.map(densities, chosen), strict=True):
            grid[start : start + len(values)] = values
    return grid.reshape(counts)


def vertex_colors(renderer: Renderer, points: np.ndarray, normals: np.ndarray, cell: float) -> np.ndarray:
    """uint8 [V, 3]: what the network gives at `points` [V, 3] for looking along the negative `normals` [V, 3]."""
    config = renderer.trained.model.config
    chunk = suitable_chunk(config, renderer.device, renderer.precision) * config.num_samples

    def colors(start: int) -> Tensor:
        part = slice(start, start + chunk)
        means, viewdirs = (
            torch.as_tensor(values[part], dtype=torch.float32, device=renderer.device) for values in (points, -normals)
        )
        return _query(renderer, means[:, None], viewdirs, cell)[0][:, 0].cpu()

    rgb = torch.cat(list(renderer.workers.map(colors, range(0, len(points), chunk))))
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _query(renderer: Renderer, means: Tensor, viewdirs: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Colour and density of the Gaussians of cells around `means` [N, S, 3], seen along `viewdirs` [N, 3]."""
    covs = torch.full_like(means, cell**2 / 12)
    with torch.inference_mode(), autocast(renderer.device, renderer.precision):
        return renderer.trained.model.query(means, covs, viewdirs)


def ndc_to_world(points: np.ndarray, plane: tuple[float, float]) -> np.ndarray:
    """[V, 3] in the world of [V, 3] in NDC, whose z is below 1: the inverse of `cameras.convert_to_ndc` for points."""
    z = 2 / (points[:, 2] - 1)
    width, height = plane
    return np.stack([-0.5 * width * points[:, 0] * z, -0.5 * height * points[:, 1] * z, z], axis=-1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3]: the mean of the normals of a vertex's triangles, weighted by their areas; z where they cancel."""
    first, second, third = np.moveaxis(vertices[faces], 1, 0)
    areas = np.cross(second - first, third - first)
    sums = np.stack(
        [np.bincount(faces.ravel(), np.repeat(areas[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=-1
    )
    lengths = np.linalg.norm(sums, axis=-1, keepdims=True)
    return np.where(lengths > 0, sums / np.maximum(lengths, np.finfo(float).tiny), [0.0, 0.0, 1.0])


def write_ply(mesh: Mesh, path: Path) -> None:
    """Atomically write a binary little-endian PLY with normals and colours of the vertices."""
    vertices = np.empty(
        len(mesh.vertices),
        dtype=[(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
        + [(name, "u1") for name in ("red", "green", "blue")],
    )
    for names, values in (("x y z", mesh.vertices), ("nx ny nz", mesh.normals), ("red green blue", mesh.colors)):
        for name, column in zip(names.split(), values.T, strict=True):
            vertices[name] = column
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    properties = [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind, *_ in vertices.dtype.descr]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *properties,
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write("\n".join(header).encode("ascii"))
        stream.write(vertices.tobytes())
        stream.write(faces.tobytes())
