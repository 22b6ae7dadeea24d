"""Which tables there are: known before any run is, and without reading anything."""

PAPER_TABLES = {"multiscale_blender": ("table1", "table3"), "blender": ("table2",)}


def method_tables(dataset: str) -> tuple[str, ...]:
    """The tables with a row for each method: those of the paper on a dataset, or one of the dataset's own name."""
    return PAPER_TABLES.get(dataset, (dataset,))


def scene_table(dataset: str) -> str:
    """The table with a column for each scene."""
    return f"{dataset}_scenes"


def table_names(dataset: str) -> tuple[str, ...]:
    """Every table of a dataset: results/tables/NAME."""
    return (*method_tables(dataset), scene_table(dataset))


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
    """The variant as figures call it, with the seed that its name may end in: `mip-NeRF w/o IPE, seed 3`."""
    method, _, seed = variant.partition("_seed")
    return ", ".join([TITLES[method], *([f"seed {seed}"] if seed else [])]) if method in TITLES else variant
