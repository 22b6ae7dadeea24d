"""The published JAX numbers that the results are held against.

Known are, per scene, the averages of mip-NeRF itself (its supplement), and for every method the means over the eight
Blender scenes (Tables 1 and 2 of Barron et al., ICCV 2021).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mipnerf.errors import DataError

MEAN = "mean"
METHODS = {
    "mipnerf": "Mip-NeRF",
    "mipnerf_wo_misc": "Mip-NeRF w/o Misc.",
    "mipnerf_wo_single_mlp": "Mip-NeRF w/o Single MLP",
    "mipnerf_wo_area_loss": "Mip-NeRF w/o Area Loss",
    "mipnerf_wo_ipe": "Mip-NeRF w/o IPE",
    "nerf": "NeRF (Jax Impl.)",
    "nerf_area": "NeRF + Area Loss",
    "nerf_area_center": "NeRF + Area, Centered Pixels",
    "nerf_area_center_misc": "NeRF + Area, Center, Misc.",
}
TABLES = {"multiscale_blender": "multiscale_blender_table1.csv", "blender": "single_scale_blender_table2.csv"}
LEVEL_COLUMNS = {
    "multiscale_blender": ["{}_full", "{}_half", "{}_quarter", "{}_eighth"],
    "blender": ["{}"],
}


@dataclass(frozen=True)
class Reference:
    """The published tables: `per_scene` as in the file, `tables` per dataset, indexed by the paper's names."""

    per_scene: pd.DataFrame
    tables: dict[str, pd.DataFrame]

    def scenes(self, dataset: str) -> set[str]:
        """The scenes over which the published means of `dataset` were taken."""
        return set(self._jax_scenes(dataset)["scene"])

    def jax_levels(self, dataset: str, variant: str, metric: str) -> list[float] | None:
        """The eight-scene mean at each level, full resolution first; None where it was not published."""
        columns = [column.format(metric) for column in LEVEL_COLUMNS.get(dataset, [])]
        method = METHODS.get(variant)
        if not columns or method not in self.tables[dataset].index or not {*columns} <= {*self.tables[dataset].columns}:
            return None
        return [float(value) for value in self.tables[dataset].loc[method, columns]]

    def jax_average(self, dataset: str, variant: str, scene: str, metric: str, num_levels: int) -> float | None:
        """The mean over all levels of one scene, or of all eight for the scene `MEAN`; None where it was not published.

        `num_levels` is what the number is compared with: an average over other levels is another quantity.
        """
        if num_levels != len(LEVEL_COLUMNS.get(dataset, [])):
            return None
        if scene == MEAN:
            levels = self.jax_levels(dataset, variant, metric)
            return sum(levels) / len(levels) if levels else None
        rows = self._jax_scenes(dataset)
        rows = rows[rows["scene"] == scene]
        if variant != "mipnerf" or metric not in rows or rows.empty:
            return None
        value = float(rows[metric].iloc[0])
        return None if math.isnan(value) else value

    def _jax_scenes(self, dataset: str) -> pd.DataFrame:
        return self.per_scene.query("dataset == @dataset and implementation == 'jax'")


def load_reference(folder: Path) -> Reference:
    """Read the published numbers from `folder`; `DataError` for a missing file or column."""
    scenes = _read(folder / "per_scene.csv", ["dataset", "implementation", "scene", "level", "psnr", "ssim", "lpips"])
    tables = {
        dataset: _read(
            folder / name, ["method", *(c.format(m) for c in LEVEL_COLUMNS[dataset] for m in ("psnr", "ssim"))]
        )
        for dataset, name in TABLES.items()
    }
    return Reference(scenes, {dataset: table.set_index("method") for dataset, table in tables.items()})


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, comment="#", index_col=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with the suite in config/reference") from error
    if missing := [column for column in columns if column not in frame]:
        raise DataError(f"{path}: lacks the column {', '.join(missing)}; it comes with the suite in config/reference")
    return frame
