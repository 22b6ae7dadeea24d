"""Which figures there are and what they show, in words: known before any run is, and without reading anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from mipnerf.report.names import is_swept

if TYPE_CHECKING:  # what takes long to import is left to those who draw
    from matplotlib.figure import Figure

    from mipnerf.report.frame import Run
    from mipnerf.report.reference import Reference


@dataclass(frozen=True)
class Kind:
    """One kind of figure: `caption` says what is seen and how to read it, `endings` in which formats it is written.

    `drawn_by` is, for those of a dataset, the module and function in this room that take its runs and the published
    numbers. Of a sweep, they are given the `most` best variants, unless it `shows_all`.
    """

    title: str
    caption: str
    endings: tuple[str, ...] = ("svg", "png")
    drawn_by: str = ""
    shows_all: bool = False
    most: int = 3

    def draw(self, runs: "list[Run]", reference: "Reference") -> "Figure":
        """The figure of a dataset."""
        if not self.shows_all:
            from mipnerf.report.sweeps import best_of_sweeps

            runs = best_of_sweeps(runs, self.most)
        module, function = self.drawn_by.split(".")
        figure: Figure = getattr(import_module(f"mipnerf.report.figures.{module}"), function)(runs, reference)
        return figure


# Of a dataset: results/plots/{dataset}_{kind}.
DATASET_FIGURES = {
    "levels": Kind(
        "Quality against resolution",
        "The means over the test views at each resolution, or of each scene where there is only one resolution. Thick "
        "is the mean over scenes, thin each scene; a band is the standard deviation over seeds. Dotted, "
        "or a bar, is what was published. Of a sweep, the best are shown.",
        drawn_by="plots.plot_levels",
    ),
    "deltas": Kind(
        "Difference from the published numbers",
        "Ours minus the published JAX number of the same scene and variant, both averaged over the resolutions: right "
        "of zero, ours is higher (better for PSNR and SSIM, worse for LPIPS). Of a sweep, the best are shown.",
        drawn_by="comparisons.plot_deltas",
    ),
    "cost": Kind(
        "Quality against cost",
        "PSNR, averaged over resolutions and scenes, against the time of a training and against the samples of all its "
        "rays, a point for each variant; up and to the left is better. Hollow is what was published. Of a "
        "sweep, the best are shown.",
        drawn_by="comparisons.plot_cost",
    ),
    "history": Kind(
        "Training",
        "PSNR of the training batches against steps and against time, a running mean over 5 % of the log. Faint is "
        "what was logged, or with several scenes each of them. Dots are views that are not trained on, rendered "
        "meanwhile. Of a sweep, the best are shown.",
        drawn_by="plots.plot_history",
    ),
    "sweep": Kind(
        "Quality against swept values",
        "PSNR, averaged over test views, resolutions and scenes, against each hyper-parameter that is swept; a line "
        "for each combination of the others. A band is the standard deviation over seeds. Of more lines than can be "
        "told apart, the best are in colour.",
        drawn_by="sweeps.plot_sweep",
        shows_all=True,
    ),
    "minutes": Kind(
        "Quality against time",
        "PSNR of views that are not trained on, against minutes of training; rendering them is not timed. A line is "
        "the mean over seeds and scenes, a band their standard deviation. Of a sweep, the six best are shown.",
        drawn_by="minutes.plot_minutes",
        most=6,
    ),
}
# Of a scene: results/plots/{dataset}_{scene}_{kind}.
SCENE_FIGURES = {
    "pyramid": Kind(
        "Details at every resolution",
        "Crops where the variants differ most, from full resolution at the top to the coarsest, enlarged without "
        "interpolation; framed in the whole test view at the left. Below is the SSIM of the whole view, in bold the "
        "best. Of several seeds, the first is shown; of a sweep, the best.",
    ),
    "strip": Kind(
        "Renderings and errors",
        "One test view: the truth, and of every variant its rendering and the absolute error averaged over the "
        "channels, a row for each resolution and one colour scale for all. Of several seeds, the first is "
        "shown; of a sweep, the best.",
        ("png",),
    ),
    "depth": Kind(
        "Depth, opacity and error",
        "The same test view at full resolution, a row for each variant: the distance at which its rays end, or its "
        "inverse where the background has no end (white where less than half opaque), the accumulated opacity, and the "
        "absolute error. Scales are shared. Of several seeds, the first is shown; of a sweep, the best.",
        ("png",),
    ),
    "cameras": Kind(
        "Cameras",
        "Where the training and test cameras are: from above, from the side and in perspective, with the way from near "
        "to far of each and one whole frustum.",
        ("png",),
    ),
}
FIGURES = DATASET_FIGURES | SCENE_FIGURES
PRINT_WIDTHS = {"column": 3.25, "page": 6.875}  # inches, of the paper
# What the short table shows; the rest is for the report.
IN_TABLE = ("levels", "history", "sweep", "minutes", "strip")
# Of these, JAX numbers were published: of mip-NeRF for each of the scenes, of other variants for all of them together.
PUBLISHED_SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
PUBLISHED_LEVELS = {"multiscale_blender": 4, "blender": 1}


def dataset_kinds(dataset: str, levels: int, runs: Iterable[tuple[str, str]], is_timed: bool = False) -> list[str]:
    """The figures of a dataset whose `runs` are (variant, scene), some of so many minutes where it `is_timed`.

    No deltas where nothing was published of any, and no sweep where nothing is swept.
    """
    runs = set(runs)
    known = {(variant, scene) for variant, scene in runs if scene in PUBLISHED_SCENES}
    is_whole = any(runs >= {(variant, scene) for scene in PUBLISHED_SCENES} for variant, _ in known)
    has_published = PUBLISHED_LEVELS.get(dataset) == levels and (
        is_whole or any(variant == "mipnerf" for variant, _ in known)
    )
    is_due = {"deltas": has_published, "sweep": is_swept(variant for variant, _ in runs), "minutes": is_timed}
    return [kind for kind in DATASET_FIGURES if is_due.get(kind, True)]
