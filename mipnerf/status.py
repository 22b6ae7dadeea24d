"""How far the runs are, from their files alone."""

import time
from dataclasses import dataclass
from pathlib import Path

import filelock
import yaml

from mipnerf.history import HistoryRow, eta_seconds, format_duration, read_rows


@dataclass(frozen=True)
class RunStatus:
    """One run: `state` is done, running, stopped or unknown, imported or adopted (trained elsewhere)."""

    name: str
    state: str
    max_steps: int | None
    row: HistoryRow | None
    seconds_since: float | None

    def cells(self) -> list[str]:
        """What a table shows of it."""
        row = self.row
        if row is None:
            return [self.name, self.state, "—", "—", "—", "—", "—"]
        total = f"/{self.max_steps:,}" if self.max_steps else ""
        is_running = self.state == "running" and self.max_steps
        return [
            self.name,
            self.state,
            f"{row.step:,}{total}",
            f"{row.psnr:.2f}",
            f"{row.rays_per_s:,.0f}",
            format_duration(eta_seconds(row, self.max_steps)) if is_running else "—",
            format_duration(self.seconds_since),
        ]


HEADERS = ["run", "state", "step", "PSNR", "rays/s", "ETA", "last line ago"]


def read_statuses(results: Path) -> list[RunStatus]:
    """All runs below `results`, which holds DATASET/VARIANT/SCENE folders, by name."""
    folders = {path.parent for name in ("checkpoints", "model.pt") for path in results.glob(f"*/*/*/{name}")}
    return [read_status(folder, results) for folder in sorted(folders)]


def read_status(folder: Path, results: Path) -> RunStatus:
    """The state of the newest training in a run's folder."""
    found = [path for path in folder.glob("checkpoints/*/history.csv") if path.parent.suffix != ".previous"]
    histories = sorted(found, key=lambda path: path.stat().st_mtime)
    rows = read_rows(histories[-1]) if histories else []
    return RunStatus(
        name=folder.relative_to(results).as_posix(),
        state=_state(folder),
        max_steps=_max_steps(histories[-1].parent) if histories else None,
        row=rows[-1] if rows else None,
        seconds_since=time.time() - histories[-1].stat().st_mtime if histories else None,
    )


def is_imported(folder: Path) -> bool:
    """Whether the run in `folder` was made of a foreign checkpoint, so that nothing here could make it again."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return "imported_from" in config["record"]
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return False


def _state(folder: Path) -> str:
    if not (folder / "checkpoints").is_dir():
        return "imported" if is_imported(folder) else "adopted"
    lock = filelock.FileLock(folder / "checkpoints" / ".lock", timeout=0)
    try:
        with lock:
            return "done" if (folder / "model.pt").exists() else "stopped"
    except filelock.Timeout:
        return "running"
    except OSError:
        return "unknown"  # another user's run, whose lock may not be tried


def _max_steps(checkpoints: Path) -> int | None:
    plan = checkpoints / "run.yaml"
    if not plan.exists():
        return None
    return yaml.safe_load(plan.read_text(encoding="utf-8"))["train"]["max_steps"]
