"""What a configuration will cost, as one mapping and as text."""

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from mipnerf.config import SuiteConfig
from mipnerf.config.runs import resolve_runs
from mipnerf.planning.costs import RunCost, Speed, cost_of, count_jobs, disk_bytes, memory_bytes, tasks_of
from mipnerf.planning.scheduling import critical_path, simulate
from mipnerf.training.history import format_duration


def make_plan(suite: SuiteConfig, speed: Speed, devices: int, peak_memory: float | None = None) -> dict[str, Any]:
    """The plan of all configured runs, as if nothing were there yet.

    Args:
        peak_memory: bytes that training was measured to take, if it was.

    Returns:
        What JSON can hold. Times are in hours of one device, or of the clock on `devices`; sizes in bytes.
    """
    runs = resolve_runs(suite)
    costs = [cost_of(suite, run, speed) for run in runs.values()]
    tasks = tasks_of(suite, costs)
    total, path = sum(task.seconds for task in tasks), critical_path(tasks)
    memory = memory_bytes(suite, runs)
    if peak_memory is not None:
        memory["measured growth of a training"] = peak_memory
    return {
        "speed": speed._asdict(),
        "jobs": dict(count_jobs(suite, runs)),
        "device_hours": _by_variant(costs),
        "total_device_hours": total / 3600,
        "devices": devices,
        "wall_hours": simulate(tasks, devices) / 3600,
        "least_wall_hours": max(total / devices, path) / 3600,
        "most_wall_hours": (total / devices + (1 - 1 / devices) * path) / 3600,
        "longest_training_hours": max(cost.training for cost in costs) / 3600,
        "disk_bytes": disk_bytes(suite, runs),
        "memory_bytes": memory,
    }


def _by_variant(costs: Iterable[RunCost]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for cost in costs:
        key = (cost.run.dataset, cost.run.variant)
        empty = {"dataset": key[0], "variant": key[1], "runs": 0, "training": 0.0, "evaluation": 0.0}
        row = rows.setdefault(key, empty)
        row["runs"] += 1
        row["training"] += cost.training / 3600
        row["evaluation"] += sum(cost.evaluations) / 3600
    return list(rows.values())


def format_plan(plan: dict[str, Any]) -> str:
    """What `make_plan` gave, as tables."""
    jobs = [(kind, f"{count:,}") for kind, count in sorted(plan["jobs"].items(), key=lambda item: -item[1])]
    jobs.append(("total", f"{sum(plan['jobs'].values()):,}"))
    sizes = [
        *((f"disk: {what}", _size(size)) for what, size in plan["disk_bytes"].items()),
        ("disk: total", _size(sum(plan["disk_bytes"].values()))),
        *((f"memory: {what}", _size(size)) for what, size in plan["memory_bytes"].items()),
    ]
    parts = [_table(jobs, ["job", "count"]), _hours(plan), _wall(plan), _table(sizes, ["size", ""]), _notes(plan)]
    return "\n\n".join(parts)


def _hours(plan: dict[str, Any]) -> str:
    kinds, rows = ("training", "evaluation"), plan["device_hours"]
    lines = [
        (f"{row['dataset']}/{row['variant']}", f"{row['runs']:,}", *(_duration(row[kind]) for kind in kinds))
        for row in rows
    ]
    sums = [_duration(sum(row[kind] for row in rows)) for kind in kinds]
    lines.append(("total", f"{sum(row['runs'] for row in rows):,}", *sums))
    return _table(lines, ["time of one device", "runs", *kinds])


def _wall(plan: dict[str, Any]) -> str:
    devices = plan["devices"]
    rows = [
        ("all, one after another", _duration(plan["total_device_hours"])),
        (f"time on {devices:,} device{'s' * (devices != 1)}", _duration(plan["wall_hours"])),
        ("at least, in any order", _duration(plan["least_wall_hours"])),
        ("at most, in any order", _duration(plan["most_wall_hours"])),
        ("longest training", _duration(plan["longest_training_hours"])),
    ]
    return _table(rows, ["schedule", "time"])


def _notes(plan: dict[str, Any]) -> str:
    return (
        f"Speed: {plan['speed']['origin']}.\n"
        "Other networks are scaled by the operations of their layers, to which small ones do not live up. All is\n"
        "counted as if nothing were there yet, but not waiting in queues, starting jobs, SSIM, LPIPS and what needs\n"
        "no device. Images are those of the papers, or guessed for your own captures, and a PNG has one byte a pixel,\n"
        "so disk is right within a factor of two."
    )


def _duration(hours: float) -> str:
    """`1:02:03` or `2:03`; two digits of what is less than a minute: `41 s`, `0.052 s`."""
    if not hours:
        return "—"
    seconds = 3600 * hours
    return f"{seconds:.2g} s" if seconds < 59.5 else format_duration(seconds)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    align = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(list(rows), headers, tablefmt="simple", disable_numparse=True, colalign=align)
