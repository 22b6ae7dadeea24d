"""Results as pandas frames, for notebooks: `mipnerf.report.load("results")`."""

from pathlib import Path

import pandas as pd

from mipnerf.errors import DataError
from mipnerf.report.conditions import facts_of
from mipnerf.report.frame import Run, flat_settings, read_history, read_runs
from mipnerf.training.history import read_validation

KINDS = ("views", "training", "validation", "runs")


def load(results: str | Path = "results", kind: str = "views") -> pd.DataFrame:
    """Everything below `results` that is evaluated, as one frame with dataset, variant, scene, method and seed.

    `method` is the variant without what a further seed adds to its name. By `kind`, there follow

    - `views`: level (0 = full resolution, each further one half of that), view (index in the test split), metric (psnr
      in dB, ssim, lpips, seconds_per_megapixel) and value, a row for each number of metrics.csv, digit for digit;
    - `training`: step, loss, psnr, lr, rays_per_s, seconds and loss_0, ... a row for each line of the logs;
    - `validation`: step, level, view, psnr, ssim and seconds of the views that are rendered meanwhile;
    - `runs`: a row for each run, with what is known of it, and all values of its configuration as section.key.

    Raises `DataError` where there is no run, or one that is damaged, and for another kind.
    """
    if kind not in KINDS:
        raise DataError(f"{kind!r} is no kind of result; there are {', '.join(KINDS)}")
    folder = Path(results)
    found = sorted(path.parent for path in folder.glob("*/*/*/metrics.csv") if path.with_name("config.yaml").exists())
    if not found:
        raise DataError(f"{folder.absolute()}: holds no evaluated run, such as {folder}/bricks/mipnerf/bricks")
    return pd.concat([_with_names(run, _frame(run, kind)) for run in read_runs(found)], ignore_index=True)


def _frame(run: Run, kind: str) -> pd.DataFrame:
    if kind == "views":
        return run.metrics[["level", "view", "metric", "value"]]
    if kind == "training":
        return read_history(run.folder / "history.csv")
    if kind == "validation":
        return pd.DataFrame(read_validation(run.folder / "validation.csv"))
    facts = {key: value for key, value in facts_of(run).items() if key not in ("scene", "variant")}
    return pd.DataFrame([facts | dict(flat_settings(run.config))])


def _with_names(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    names = {"dataset": run.dataset, "variant": run.variant, "scene": run.scene, "method": run.method, "seed": run.seed}
    kept = frame.drop(columns=[key for key in names if key in frame])
    return pd.DataFrame({key: [value] * len(kept) for key, value in names.items()}, index=kept.index).join(kept)
