"""What a reader must know about the runs to judge their numbers, and how it departs from what was published."""

from mipnerf.report.frame import Run, if_all_known, ordered_names
from mipnerf.report.reference import METHODS, Reference
from mipnerf.report.tables.table import MISSING, rounded
from mipnerf.training.history import format_duration

PUBLISHED_RAYS, PUBLISHED_BUDGET = 1_000_000 * 4096, "1,000,000 × 4,096 rays"
PUBLISHED_IMAGES = {"resolution": "800×800", "training views": 100, "test views": 200}
MIPNERF_NETWORK = "8×256, 2×128 samples"
NERF_NETWORK = "2 networks of 8×256, 64+128 samples"
PUBLISHED_NETWORKS = {  # of the variants that have not mip-NeRF's
    "mipnerf_wo_single_mlp": "2 networks of 8×256, 2×128 samples",
    **dict.fromkeys(["nerf", "nerf_area", "nerf_area_center"], NERF_NETWORK),
    **dict.fromkeys(["nerf_area_center_misc", "ss_nerf_area_center_misc"], NERF_NETWORK),
}
HARDWARE = "a TPU v2 with 32 cores"


def facts_of(run: Run) -> dict[str, str | int]:
    """What a reader must know about a run, as it is shown; a dash for what an imported model does not tell."""
    width, height = run.setting("record", "width"), run.setting("record", "height")
    views = run.setting("record", "train_views")
    return {
        "scene": run.scene,
        "variant": run.variant,
        "resolution": MISSING if None in (width, height) else f"{width}×{height}",
        "training views": MISSING if views is None else views,
        "test views": len(run.views),
        "steps × batch": _budget(run),
        "network": _network(run),
        "parameters": f"{run.setting('record', 'num_parameters'):,}",
        "training time": _training_time(run),
        "device": run.setting("record", "device") or MISSING,
    }


def costs_of(runs: list[Run], reference: Reference) -> list[list[str]]:
    """Variant, hours of training here and published, parameters here and published; nothing if none was published.

    Ours are the mean over the scenes (and seeds) of one dataset, where all of them are known.
    """
    rows = []
    for variant in ordered_names(runs, "method"):
        members = [run for run in runs if run.method == variant]
        seconds = if_all_known(train_seconds(run) for run in members)
        hours = None if seconds is None else sum(seconds) / len(seconds) / 3600
        published = reference.train_hours(members[0].dataset, variant)
        sizes = dict.fromkeys(str(facts_of(run)["parameters"]) for run in members)
        size = reference.num_parameters(members[0].dataset, variant)
        rows.append([variant, *map(_hours, (hours, published)), ", ".join(sizes), size or MISSING])
    return rows if any(row[2] != MISSING for row in rows) else []


def departures(runs: list[Run]) -> str | None:
    """In which respects published numbers were made under other conditions than those of `runs`, as one sentence."""
    differing = differing_conditions(runs)
    if not differing:
        return None
    networks = " or ".join(dict.fromkeys(_published_networks(runs).values()))
    return (
        f"it was published for {PUBLISHED_BUDGET}, images of 800×800, 100 training and 200 test views, and the "
        f"network {networks}; the runs differ in {', '.join(differing)}."
    )


def differing_conditions(runs: list[Run]) -> list[str]:
    """The respects in which some of `runs` are other than the published ones of the Blender scenes."""
    facts = [facts_of(run) for run in runs]
    differing = [name for name, value in PUBLISHED_IMAGES.items() if any(fact[name] != value for fact in facts)]
    rays = [run.setting("train", "max_steps") * run.setting("train", "batch_size") for run in runs]
    if set(rays) != {PUBLISHED_RAYS} or any(fact["steps × batch"] == MISSING for fact in facts):
        differing.insert(0, "training budget")
    published = _published_networks(runs)
    if any(
        fact["network"] != published.get(run.method, fact["network"]) for run, fact in zip(runs, facts, strict=True)
    ):
        differing.append("network")
    return differing


def unofficial(runs: list[Run]) -> str | None:
    """That the data of some `runs` are not what the published numbers were made from, as one sentence."""
    differing = [run for run in runs if run.setting("record").get("data_verified") is False]
    if not differing:
        return None
    scenes = ", ".join(ordered_names(differing, "scene"))
    return f"**Data not the official files:** {scenes}; images or cameras have other checksums."


def masked(runs: list[Run]) -> str | None:
    """That some pixels of some `runs` did not count, as one sentence."""
    shares = {run.scene: run.setting("record").get("masked_share", 0) for run in runs}
    named = [f"{scene} ({100 * share:.2g} % of the training pixels)" for scene, share in shares.items() if share]
    if not named:
        return None
    return f"**Masked:** {', '.join(named)}; what masks hide was neither learnt nor measured."


def _published_networks(runs: list[Run]) -> dict[str, str]:
    """The networks of the methods that are the paper's."""
    methods = METHODS.get(runs[0].dataset, {})
    return {run.method: PUBLISHED_NETWORKS.get(run.method, MIPNERF_NETWORK) for run in runs if run.method in methods}


def _budget(run: Run) -> str:
    record = run.setting("record")
    if "imported_from" in record and record["imported_step"] is None:
        return MISSING
    return f"{run.setting('train', 'max_steps'):,} × {run.setting('train', 'batch_size'):,}"


def train_seconds(run: Run) -> float | None:
    """Seconds of training; nothing for a network that comes from elsewhere."""
    return None if "model_of" in run.setting("record") else run.setting("record", "train_seconds")


def _training_time(run: Run) -> str:
    record, seconds = run.setting("record"), train_seconds(run)
    if "model_of" in record:
        return f"network of {record['model_of']}"
    if "imported_from" in record:
        return "imported"
    return MISSING if seconds is None else format_duration(seconds)


def _network(run: Run) -> str:
    model = run.setting("model")
    depth, width, levels, samples = (
        run.setting("model", key) for key in ("net_depth", "net_width", "num_levels", "num_samples")
    )
    # Points of a further level join those before them; volumes replace them.
    fine = model.get("num_fine_samples", 0)
    drawn = "+".join(map(str, [samples, *[fine] * (levels - 1)])) if fine else f"{levels}×{samples}"
    networks = "" if model.get("single_mlp", True) else "2 networks of "
    if proposal := model.get("proposal_depth", 0):
        networks = f"proposals of {proposal}×{model['proposal_width']}, "
    return f"{networks}{depth}×{width}, {drawn} samples"


def _hours(hours: float | None) -> str:
    return rounded(hours, 2)
