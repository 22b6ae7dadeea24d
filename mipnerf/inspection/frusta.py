"""A picture of the cameras of a scene: from above, from the side and in perspective."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from mipnerf.datasets.scene import Scene, evenly_spread
from mipnerf.inspection import cameras
from mipnerf.inspection.images import Split
from mipnerf.report.figures.plots import COLORS, STYLE

SIZE = (7.2, 3.2)  # inches
MAX_DRAWN = 100  # cameras of a split
BODY_OF_SPAN, BODY_OF_DISTANCE = 0.04, 0.3  # size of a drawn camera: of the picture, of the distance to the next
MARGIN = 0.04
FAINT = 0.2
NDC_FAR = 3.0  # where the frusta of NDC are cut off, in distances of the near plane
# Told apart in grey by lightness, dashes and markers.
STYLES = {
    "train": {"color": COLORS[0], "marker": "o", "zorder": 2},
    "val": {"color": "0.45", "marker": "s", "zorder": 3},
    "test": {"color": COLORS[1], "marker": "^", "zorder": 4},
}
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
EXAMPLE: dict[str, Any] = {"color": "0.1", "linewidth": 1.0, "zorder": 5}
AXIS_NAMES = "xyz"


def plot_cameras(name: str, splits: Sequence[Split], points: np.ndarray | None = None) -> Figure:
    """All cameras (of large splits some, evenly spread), the way from near to far of each, and one whole frustum.

    `points` [P, 3] of the scene, where they are known, are drawn as far as they are within the picture.
    """
    shown = [(split, split.cameras.select(evenly_spread(split.cameras.num_views, MAX_DRAWN))) for split in splits]
    train, scenes = shown[0][1], [scene for _, scene in shown]
    right, away, up = canonical_axes(train)
    example = example_frustum(train.select([example_view(train, right)]))
    low, high = extents(example, scenes)
    if points is not None:
        points = points[((points > low) & (points < high)).all(axis=1)]
    size = max(BODY_OF_SPAN * (high - low).max(), BODY_OF_DISTANCE * usual_distance(train))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        grid = figure.add_gridspec(1, 3, width_ratios=[1, 1, 1.3])
        top, side = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
        space = figure.add_subplot(grid[2], projection="3d", computed_zorder=False)
        views = {"from above": (top, [right, away]), "from the side": (side, [away, up])}
        views["in perspective"] = (space, [right, away, up])
        for title, (axes, kept) in views.items():
            if points is not None:
                axes.plot(*points[:, kept].T, ".", color="0.6", markersize=1, markeredgewidth=0, zorder=1)
            for split, scene in shown:
                draw_split(axes, kept, scene, size, STYLES[split.name])
            draw_example(axes, kept, example)
            if cameras.viewing(train) == "inward":
                axes.plot(*cameras.focus_point(train)[kept, None], "+", color="0.1", markersize=7, zorder=6)
            axes.set(xlabel=AXIS_NAMES[kept[0]], ylabel=AXIS_NAMES[kept[1]], title=title)
            limit = limit_plane if len(kept) == 2 else limit_space
            limit(axes, kept, low, high)
        name_bounds(top, [right, away], example, train.ndc)
        figure.suptitle(name, fontsize=9)
        figure.legend(handles=legend_handles(shown, train), loc="outside lower center", ncols=3)
    return figure


def canonical_axes(scene: Scene) -> tuple[int, int, int]:
    """Which axes of the scene point right, away and up: up is where the cameras' tops point, away where they look."""
    tops, looks = np.abs(scene.camtoworlds[:, :, 1].mean(axis=0)), np.abs(cameras.axes(scene).mean(axis=0))
    up = int(tops.argmax())
    rest = [axis for axis in range(3) if axis != up]
    away = max(rest, key=lambda axis: looks[axis]) if cameras.viewing(scene) == "forward" else rest[1]
    return next(axis for axis in rest if axis != away), away, up


def example_view(scene: Scene, right: int) -> int:
    """The camera whose frustum is drawn whole: one in the middle, or of a ring at its side, where it hides least."""
    across = cameras.positions(scene)[:, right]
    if cameras.viewing(scene) == "forward":
        return int(np.abs(across - np.median(across)).argmin())
    return int(across.argmin())


def usual_distance(scene: Scene) -> float:
    """Between neighbouring cameras."""
    distances = cameras.neighbour_distances(scene)
    return float(np.median(distances)) if len(distances) else 0.0


def drawn_bounds(scene: Scene) -> np.ndarray:
    """[V, 2]: near and far along the rays; the infinite end of NDC is cut off."""
    far = np.minimum(scene.fars, 1 - 1 / NDC_FAR) if scene.ndc else cameras.shown_fars(scene)
    return np.stack([scene.nears, np.maximum(far, scene.nears)], axis=1)


def corner_points(scene: Scene, t: np.ndarray) -> np.ndarray:
    """[V, 4, D, 3]: the corners of the image at the distances `t` [V, D] along their rays."""
    sizes = np.stack([scene.widths, scene.heights], axis=-1)
    return cameras.along_rays(scene, CORNERS * sizes[:, None], t)


def body_lines(scene: Scene, size: float) -> np.ndarray:
    """[8 V, 2, 3]: a pyramid for every camera, its tip where the camera is."""
    scene = replace(scene, ndc=False)  # where distances along rays begin at the camera
    corners = corner_points(scene, np.full((scene.num_views, 1), size))[:, :, 0]
    tips = np.broadcast_to(cameras.positions(scene)[:, None], corners.shape)
    sides, rims = np.stack([tips, corners], axis=2), np.stack([corners, np.roll(corners, 1, axis=1)], axis=2)
    return np.concatenate([sides, rims], axis=1).reshape(-1, 2, 3)


def bound_lines(scene: Scene) -> np.ndarray:
    """[V, 2, 3]: the middle of the image at near and at far."""
    middle = np.stack([scene.widths, scene.heights], axis=-1)[:, None] / 2
    return cameras.along_rays(scene, middle, drawn_bounds(scene))[:, 0]


def example_frustum(scene: Scene) -> np.ndarray:
    """[14, 2, 3]: edges of the frustum of a single camera from near to far, and from the camera to near."""
    corners = corner_points(scene, drawn_bounds(scene))[0]  # [4, 2, 3]
    planes = np.stack([corners, np.roll(corners, 1, axis=0)], axis=2).transpose(1, 0, 2, 3).reshape(-1, 2, 3)
    tips = np.broadcast_to(cameras.positions(scene), (4, 3))
    return np.concatenate([planes, corners, np.stack([tips, corners[:, 0]], axis=1)])


def draw_split(axes: Axes, kept: list[int], scene: Scene, size: float, style: dict[str, Any]) -> None:
    """Cameras as pyramids with a marker, and a faint line from near to far."""
    collection = LineCollection if len(kept) == 2 else Line3DCollection
    look = {"color": style["color"], "zorder": style["zorder"]}
    axes.add_collection(collection(list(bound_lines(scene)[..., kept]), linewidth=0.6, alpha=FAINT, **look))
    axes.add_collection(collection(list(body_lines(scene, size)[..., kept]), linewidth=0.5, alpha=0.8, **look))
    points = cameras.positions(scene)[:, kept].T
    axes.plot(*points, linestyle="", marker=style["marker"], markersize=2.5, markeredgewidth=0, **look)


def draw_example(axes: Axes, kept: list[int], edges: np.ndarray) -> None:
    """The frustum of one camera; dotted before near."""
    collection = LineCollection if len(kept) == 2 else Line3DCollection
    axes.add_collection(collection(list(edges[:12][..., kept]), **EXAMPLE))
    axes.add_collection(collection(list(edges[12:][..., kept]), **(EXAMPLE | {"linewidth": 0.7, "linestyle": ":"})))


def name_bounds(axes: Axes, kept: list[int], edges: np.ndarray, is_ndc: bool) -> None:
    """`near` and `far` at the planes of the example."""
    for plane, text in ((edges[:4], "near"), (edges[4:8], "to infinity" if is_ndc else "far")):
        points = plane[:, 0, kept]
        place: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
        axes.annotate(text, points[points[:, 1].argmax()], fontsize=7, zorder=7, bbox=paper, **place)


def extents(example: np.ndarray, scenes: Sequence[Scene]) -> tuple[np.ndarray, np.ndarray]:
    """[3] least and greatest coordinates of what has to be in the picture, with a margin."""
    ways = [bound_lines(scene).reshape(-1, 3) for scene in scenes]
    points = np.concatenate([example.reshape(-1, 3), *ways, *map(cameras.positions, scenes)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * max((high - low).max(), 1e-9)
    return low - margin, high + margin


def limit_plane(axes: Axes, kept: list[int], low: np.ndarray, high: np.ndarray) -> None:
    """A square, of one scale in all views."""
    middle, half = (low + high)[kept] / 2, (high - low).max() / 2
    axes.set(
        xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), box_aspect=1, anchor="N"
    )
    axes.locator_params(nbins=5)


def limit_space(axes: Axes3D, kept: list[int], low: np.ndarray, high: np.ndarray) -> None:
    """Equal scales, and few ticks."""
    low, high = low[kept], high[kept]
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), zlabel=AXIS_NAMES[kept[2]])
    axes.set_box_aspect(high - low, zoom=1.2)
    axes.locator_params(nbins=4)
    axes.tick_params(pad=-3, labelsize=7)
    axes.view_init(elev=22, azim=-60)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_visible(False)
        axis.labelpad = -8


def legend_handles(shown: Sequence[tuple[Split, Scene]], train: Scene) -> list[Line2D]:
    """Splits with the number of their cameras, and what the lines mean."""
    handles = []
    for split, scene in shown:
        count, style = split.cameras.num_views, STYLES[split.name]
        label = f"{split.name}: {count}" if scene.num_views == count else f"{split.name}: {scene.num_views} of {count}"
        handles.append(Line2D([], [], linestyle="-", linewidth=0.8, markersize=4, label=label, **style))
    handles.append(Line2D([], [], color=COLORS[0], alpha=2 * FAINT, linewidth=1, label="axis, near to far"))
    handles.append(Line2D([], [], label="one frustum", **EXAMPLE))
    if cameras.viewing(train) == "inward":
        handles.append(Line2D([], [], linestyle="", marker="+", color="0.1", label="nearest to all axes"))
    return handles
