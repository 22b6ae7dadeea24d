"""Which tables there are: known before any run is, and without reading anything."""

from collections.abc import Iterable

from mipnerf.config.sweeps import split_sweep, swept_values, text_of

PAPER_TABLES = {"multiscale_blender": ("table1", "table3"), "blender": ("table2",)}


def method_tables(dataset: str) -> tuple[str, ...]:
    """The tables with a row for each method: those of the paper on a dataset, or one of the dataset's own name."""
    return PAPER_TABLES.get(dataset, (dataset,))


def scene_table(dataset: str) -> str:
    """The table with a column for each scene."""
    return f"{dataset}_scenes"


def sweep_table(dataset: str) -> str:
    """The table with a row for each combination of swept values."""
    return f"{dataset}_sweep"


def is_swept(variants: Iterable[str]) -> bool:
    """Whether one of `variants` is called after swept values."""
    return any(split_sweep(variant)[1] for variant in variants)


def table_names(dataset: str, variants: Iterable[str] = ()) -> tuple[str, ...]:
    """Every table of a dataset with runs of these variants: results/tables/NAME."""
    swept = [sweep_table(dataset)] if is_swept(variants) else []
    return (*method_tables(dataset), scene_table(dataset), *swept)


# How figures call the variants; others go by their own names.
TITLES = {
    "mipnerf": "mip-NeRF",
    "mipnerf_wo_ipe": "mip-NeRF w/o IPE",
    "mipnerf_wo_misc": "mip-NeRF w/o misc.",
    "mipnerf_wo_area_loss": "mip-NeRF w/o area loss",
    "mipnerf_wo_single_mlp": "mip-NeRF w/o single MLP",
    "nerf": "NeRF",
    "nerf_area": "NeRF + area",
    "nerf_area_center": "NeRF + area, center",
    "nerf_area_center_misc": "NeRF + area, center, misc.",
    "ss_nerf_area_center_misc": "SS NeRF + area, center, misc.",
    "ss_mipnerf": "SS mip-NeRF",
}


def title_of(variant: str) -> str:
    """The variant as figures call it, with swept values and the seed: `mip-NeRF w/o IPE, lr_init=0.001, seed 3`."""
    method, _, seed = variant.partition("_seed")
    configured, sweep = split_sweep(method)
    if configured not in TITLES:
        return variant
    values = [f"{key}={text_of(value)}" for key, value in swept_values(sweep).items()]
    return ", ".join([TITLES[configured], *values, *([f"seed {seed}"] if seed else [])])
