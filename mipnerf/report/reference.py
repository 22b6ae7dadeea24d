"""The published JAX numbers that the results are held against.

Known are, per scene, the averages of mip-NeRF itself (its supplement), and for every method the means over the eight
Blender scenes (Tables 1, 2 and 3 of Barron et al., ICCV 2021).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mipnerf.errors import DataError

MEAN = "mean"
TABLE1, TABLE2, TABLE3 = "multiscale_blender_table1", "single_scale_blender_table2", "supersampling_table3"
FILES = ("per_scene", TABLE1, TABLE2, TABLE3)
# The paper's name of each variant, by dataset. Pixels of a single size have equal areas: no area loss there.
METHODS = {
    "multiscale_blender": {
        "mipnerf": "Mip-NeRF",
        "mipnerf_wo_misc": "Mip-NeRF w/o Misc.",
        "mipnerf_wo_single_mlp": "Mip-NeRF w/o Single MLP",
        "mipnerf_wo_area_loss": "Mip-NeRF w/o Area Loss",
        "mipnerf_wo_ipe": "Mip-NeRF w/o IPE",
        "nerf": "NeRF (Jax Impl.)",
        "nerf_area": "NeRF + Area Loss",
        "nerf_area_center": "NeRF + Area, Centered Pixels",
        "nerf_area_center_misc": "NeRF + Area, Center, Misc.",
        "ss_nerf_area_center_misc": "SS NeRF + Area, Center, Misc.",
        "ss_mipnerf": "SS Mip-NeRF",
    },
    "blender": {
        "mipnerf": "Mip-NeRF",
        "mipnerf_wo_misc": "Mip-NeRF w/o Misc.",
        "mipnerf_wo_single_mlp": "Mip-NeRF w/o Single MLP",
        "mipnerf_wo_ipe": "Mip-NeRF w/o IPE",
        "nerf": "NeRF (Jax Impl.)",
        "nerf_area_center": "NeRF + Centered Pixels",
        "nerf_area_center_misc": "NeRF + Center, Misc.",
    },
}
LEVEL_COLUMNS = {
    "multiscale_blender": ["{}_full", "{}_half", "{}_quarter", "{}_eighth"],
    "blender": ["{}"],
}


@dataclass(frozen=True)
class Reference:
    """The published numbers: `per_scene` as in the file, `tables` per dataset, indexed by the paper's names.

    `texts` holds the files digit for digit, as words, by their stems; "" where nothing was published.
    """

    per_scene: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    texts: dict[str, pd.DataFrame]

    def scenes(self, dataset: str) -> set[str]:
        """The scenes over which the published means of `dataset` were taken."""
        return set(self._jax_scenes(dataset)["scene"])

    def all_scenes(self, dataset: str) -> set[str]:
        """The scenes of `dataset` of which anybody published a number."""
        return set(self.per_scene.loc[self.per_scene["dataset"] == dataset, "scene"])

    def scene_texts(self, dataset: str, metric: str) -> dict[str, dict[str, str]]:
        """What was published of mip-NeRF, averaged over levels, by source (`jax` first) and scene, digit for digit."""
        rows = self.texts["per_scene"].query("dataset == @dataset")
        level = "mean" if len(LEVEL_COLUMNS.get(dataset, "x")) > 1 else "full"
        rows = rows[(rows["level"] == level) & (rows[metric] != "")]
        names = rows["source"].where(rows["implementation"] != "jax", "jax")
        return {
            name: dict(zip(group["scene"], group[metric], strict=True))
            for name, group in rows.groupby(names, sort=False)
        }

    def jax_levels(self, dataset: str, variant: str, metric: str) -> list[float] | None:
        """The eight-scene mean at each level, full resolution first; None where it was not published."""
        levels = [self._cell(dataset, variant, column) for column in _level_columns(dataset, metric)]
        return None if not levels or None in levels else [float(value) for value in levels]

    def jax_average(self, dataset: str, variant: str, scene: str, metric: str, num_levels: int) -> float | None:
        """The mean over all levels of one scene, or of all eight for the scene `MEAN`; None where it was not published.

        `num_levels` is what the number is compared with: an average over other levels is another quantity.
        """
        if num_levels != len(LEVEL_COLUMNS.get(dataset, [])):
            return None
        if scene == MEAN:
            levels = self.jax_levels(dataset, variant, metric)
            if levels is not None:
                return sum(levels) / len(levels)
            average = self._cell(dataset, variant, metric)
            return None if average is None else float(average)
        rows = self._jax_scenes(dataset)
        rows = rows[rows["scene"] == scene]
        if variant != "mipnerf" or metric not in rows or rows.empty:
            return None
        value = float(rows[metric].iloc[0])
        return None if math.isnan(value) else value

    def train_hours(self, dataset: str, variant: str) -> float | None:
        """Hours of one training on a TPU v2 with 32 cores; None where they were not published."""
        hours = self._cell(dataset, variant, "train_hours")
        return None if hours is None else float(hours)

    def num_parameters(self, dataset: str, variant: str) -> str | None:
        """The number of parameters as it was published, such as `612K`; None where it was not."""
        return self._cell(dataset, variant, "params")

    def _cell(self, dataset: str, variant: str, column: str) -> Any:
        """What the paper's tables say of a variant in `column`, or None."""
        table, method = self.tables.get(dataset), METHODS.get(dataset, {}).get(variant)
        if method is None or table is None or method not in table.index or column not in table:
            return None
        value = table.at[method, column]
        return None if pd.isna(value) else value

    def _jax_scenes(self, dataset: str) -> pd.DataFrame:
        return self._jax_by_dataset.get(dataset, self.per_scene.iloc[:0])

    @cached_property
    def _jax_by_dataset(self) -> dict[str, pd.DataFrame]:
        rows = self.per_scene[self.per_scene["implementation"] == "jax"]
        return dict(iter(rows.groupby("dataset")))


def load_reference(folder: Path) -> Reference:
    """Read the published numbers from `folder`; `DataError` for a missing file or column."""
    scenes = _read(folder / "per_scene.csv", ["dataset", "implementation", "scene", "level", "psnr", "ssim", "lpips"])
    metrics, others = ("psnr", "ssim", "lpips"), ["avg_error", "train_hours", "params"]
    multiscale = _read_table(folder / f"{TABLE1}.csv", [*_level_columns("multiscale_blender", *metrics), *others])
    single = _read_table(folder / f"{TABLE2}.csv", [*_level_columns("blender", *metrics), *others])
    supersampled = _read_table(
        folder / f"{TABLE3}.csv",
        [*_level_columns("multiscale_blender", "psnr"), "seconds_per_megapixel"],
    )
    # What Tables 1 and 3 both have is taken from Table 1, where it has more digits.
    tables = {"multiscale_blender": multiscale.combine_first(supersampled), "blender": single}
    texts = {name: _read(folder / f"{name}.csv", [], dtype=str, keep_default_na=False) for name in FILES}
    return Reference(scenes, tables, texts)


def _level_columns(dataset: str, *metrics: str) -> list[str]:
    return [column.format(metric) for metric in metrics for column in LEVEL_COLUMNS.get(dataset, [])]


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    return _read(path, ["method", *columns]).set_index("method")


def _read(path: Path, columns: list[str], **options: Any) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, comment="#", index_col=False, float_precision="round_trip", **options)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with the suite in config/reference") from error
    if missing := [column for column in columns if column not in frame]:
        raise DataError(f"{path}: lacks the column {', '.join(missing)}; it comes with the suite in config/reference")
    return frame
