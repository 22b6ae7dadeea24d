"""`python -m mipnerf`: what is no step of the workflow."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mipnerf import __version__
from mipnerf.config.schema import json_schema
from mipnerf.threads import parse_threads
from mipnerf.views.commands import add_commands


def status(args: argparse.Namespace) -> None:
    """Print a table of all runs, once or again and again."""
    if args.watch is None:
        print(status_text(args)[0])
        return
    # Ctrl-C is how a person ends this.
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            text, is_finished = status_text(args)
            # A terminal is cleared; in a file or pipe one table follows the other.
            print("\x1b[H\x1b[2J\x1b[3J" if sys.stdout.isatty() else "", end="")
            print(f"{datetime.now():%Y-%m-%d %H:%M:%S}\n\n{text}\n", flush=True)
            if is_finished:
                return
            time.sleep(args.watch)


def status_text(args: argparse.Namespace) -> tuple[str, bool]:
    """What `status` prints, and whether all runs in it are finished."""
    from mipnerf.training.status import format_statuses, is_finished, read_statuses

    # Whoever names a configuration asks for its runs alone.
    names = configured_names(args.results.parent, args.configfile)
    statuses = read_statuses(args.results, names, others=not args.configfile)
    if not statuses:
        start = "`snakemake --cores 8 results/table.md`, in a project's folder, starts some"
        return f"no runs in {args.results}; {start}", True
    return format_statuses(statuses), is_finished(statuses)


def configured_names(project: Path, configfiles: Sequence[Path]) -> list[str]:
    """The runs that the configuration of `project` asks for; none where it has no configuration."""
    from mipnerf.config.files import missing_files, read_suite
    from mipnerf.config.runs import resolve_runs

    if missing_files(project) and not configfiles:
        return []
    return list(resolve_runs(read_suite(project, configfiles)))


def positive(text: str) -> float:
    """A positive number, for argparse."""
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def whole(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def schema(_: argparse.Namespace) -> None:
    """Print the JSON schema of the configuration files."""
    print(json.dumps(json_schema(), indent=2))


def import_run(args: argparse.Namespace) -> None:
    """Make a run of a checkpoint of another implementation."""
    from mipnerf.config.files import read_suite
    from mipnerf.config.runs import named_run
    from mipnerf.interop import import_checkpoint

    settings, levels = args.set, args.levels
    known = named_run(read_suite(Path(), args.configfile), *args.run.resolve().parts[-3:])
    if known is not None:
        settings, levels = [*known.training_settings(), *settings], levels or known.levels
    import_checkpoint(args.checkpoint, args.run, settings, levels or 4)


def export(args: argparse.Namespace) -> None:
    """Write a trained network as a checkpoint of google/mipnerf."""
    import torch

    from mipnerf.errors import CheckpointError
    from mipnerf.evaluation.views import load_trained
    from mipnerf.interop import export_flax

    model, run = load_trained(args.model, torch.device("cpu"))
    if run.data.box:
        raise CheckpointError(
            f"the network was trained within data.box {run.data.box}, which google/mipnerf does not have: it would see "
            "fog beyond; export networks trained without one"
        )
    export_flax(model, run.train.max_steps, args.output)


def bench(args: argparse.Namespace) -> None:
    """Print how fast this machine is, and how long the configured runs will take."""
    from mipnerf.bench.report import format_result, measure
    from mipnerf.config.runs import run_from_settings, split_operation

    settings, operation = split_operation(args.set)
    run = run_from_settings("bench", "bench", "bench", ["train.batch_size=256", *settings])
    result = measure(run, operation, args.threads, args.seconds, args.configfile)
    print(json.dumps(result, indent=2) if args.json else format_result(result))


def check(args: argparse.Namespace) -> None:
    """Try what has to work on this machine, measure it, and train for two minutes; print one page."""
    from mipnerf.bench.check import check as check_all
    from mipnerf.bench.check import format_check
    from mipnerf.config.runs import split_operation
    from mipnerf.files import write_text

    settings, operation = split_operation(args.set)
    result = check_all(settings, operation, args.threads, args.seconds, args.training_seconds)
    if args.json:
        write_text(args.json, json.dumps(result, indent=2) + "\n")
    print(format_check(result))
    if any(row["outcome"] == "fails" for row in result["checks"]):
        raise SystemExit(1)


def plan(args: argparse.Namespace) -> None:
    """Print what the configuration will cost."""
    from mipnerf.config.files import read_suite
    from mipnerf.config.runs import resolve_runs
    from mipnerf.planning.report import format_plan, make_plan
    from mipnerf.planning.speed import benched_speed, measured_speed, said_speed

    suite, peak_memory = read_suite(Path(), args.configfile), None
    if args.rays_per_second is not None:
        speed = said_speed(args.rays_per_second)
    elif args.bench is not None:
        speed, peak_memory = benched_speed(args.bench)
    else:
        speed = measured_speed(suite, resolve_runs(suite), args.threads, args.seconds)
    result = make_plan(suite, speed, args.gpus, peak_memory)
    print(json.dumps(result, indent=2) if args.json else format_plan(result))


def inspect(args: argparse.Namespace) -> None:
    """Print what a scene looks like, draw it, and say what is suspicious."""
    from mipnerf.inspection.report import format_inspection, inspect_configured

    output = args.output or args.project / "results" / "inspect" / args.scene
    result = inspect_configured(args.scene, args.project, args.configfile, output)
    print(json.dumps(result, indent=2) if args.json else format_inspection(result))


def tables(args: argparse.Namespace) -> None:
    """Write tables and report of the runs that have metrics, once or again and again, and print what they say."""
    with contextlib.suppress(KeyboardInterrupt) if args.watch else contextlib.nullcontext():
        while not write_what_is_there(args) and args.watch:
            time.sleep(args.watch)


def write_what_is_there(args: argparse.Namespace) -> bool:
    """Write tables and report once; returns whether all runs have metrics."""
    from mipnerf.config.files import HOME, read_suite
    from mipnerf.report.page.partial import write_partial
    from mipnerf.report.page.trainings import read_trainings
    from mipnerf.report.progress import gather
    from mipnerf.report.reference import load_reference
    from mipnerf.report.tables.output import write_tables

    results, suite, reference = Path("results"), read_suite(Path(), args.configfile), load_reference(HOME / "reference")
    runs, progress = gather(results, suite)
    verdict = write_tables(args.output, runs, reference, progress)
    write_partial(args.output / "report.html", runs, read_trainings(results, progress), suite, reference)
    print(
        f"{len(runs):,} of {len(runs) + len(progress):,} runs have metrics; wrote {args.output / 'table.md'}, "
        f"{args.output / 'report.html'} and more"
    )
    print(verdict.replace("**", ""), flush=True)
    return not progress


def main() -> None:
    """Parse the command line and call its command."""
    parser = argparse.ArgumentParser(prog="python -m mipnerf", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("status", help="how far the runs are, from their files alone")
    command.add_argument("results", type=Path, nargs="?", default=Path("results"), help="default: results")
    command.add_argument(
        "--watch",
        type=positive,
        nargs="?",
        const=10.0,
        metavar="SECONDS",
        help="again every so many seconds (default 10) until all runs are finished, or Ctrl-C",
    )
    command.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="on top of config/, as for snakemake; then no other runs are shown",
    )
    command.set_defaults(call=status)
    command = commands.add_parser(
        "tables", help="all tables and the report of the runs that are there, while others still train"
    )
    command.add_argument(
        "--watch",
        type=positive,
        nargs="?",
        const=60.0,
        metavar="SECONDS",
        help="again every so many seconds (default 60) until all runs have metrics, or Ctrl-C",
    )
    command.add_argument(
        "--output", type=Path, default=Path("results/partial"), metavar="FOLDER", help="default: results/partial"
    )
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.set_defaults(call=tables)
    command = commands.add_parser("schema", help="the JSON schema of the configuration files")
    command.set_defaults(call=schema)
    command = commands.add_parser(
        "import", help="make a run of a checkpoint of google/mipnerf, mipnerf-pytorch or mipnerf_pl"
    )
    command.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a file; its content tells its layout")
    command.add_argument(
        "run", type=Path, metavar="RUN_FOLDER", help="results/DATASET/VARIANT/SCENE, which must be free"
    )
    command.add_argument(
        "--levels", type=int, metavar="N", help="resolution levels of the dataset (default: as configured, else 4)"
    )
    command.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="what weights do not tell: model.num_samples=64 data.white_bkgd=false ... "
        "(default: as dataset and variant are configured, else as the reference)",
    )
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.set_defaults(call=import_run)
    command = commands.add_parser("export", help="write a trained network as a checkpoint of google/mipnerf")
    command.add_argument("model", type=Path, metavar="MODEL_PT", help="model.pt of the run")
    command.add_argument(
        "output", type=Path, metavar="OUTPUT", help="file to write; the reference looks for FOLDER/checkpoint_STEP"
    )
    command.set_defaults(call=export)
    command = commands.add_parser("bench", help="how fast this machine is, and how long the configured runs will take")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="what is measured: model.net_width=64 operation.device=cpu ... "
        "(default: the reference's network, 256 rays a step)",
    )
    command.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    command.add_argument("--seconds", type=float, default=3.0, help="of each measurement, at least (default 3)")
    command.set_defaults(call=bench)
    command = commands.add_parser("check", help="one page: what works on this machine, how fast, and what it learns")
    command.add_argument("--json", type=Path, metavar="FILE", help="write it to FILE, which `plan --bench` takes")
    command.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="what is measured and trained: model.net_width=64 operation.device=cpu ... (default: the reference's)",
    )
    command.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    command.add_argument("--seconds", type=positive, default=3.0, help="of each measurement, at least (default 3)")
    command.add_argument(
        "--training-seconds", type=positive, default=120.0, metavar="SECONDS", help="on the bricks (default 120)"
    )
    command.set_defaults(call=check)
    command = commands.add_parser("plan", help="jobs, device hours, time, disk and memory of the configuration")
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.add_argument("--gpus", type=whole, default=1, metavar="N", help="devices (default 1)")
    known = command.add_mutually_exclusive_group()
    known.add_argument(
        "--rays-per-second", type=positive, metavar="X", help="of a device that trains the reference's network"
    )
    known.add_argument(
        "--bench", type=Path, metavar="FILE", help="printed by `python -m mipnerf bench --json` (default: measure now)"
    )
    command.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    command.add_argument("--seconds", type=float, default=3.0, help="of each measurement, at least (default 3)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(call=plan)
    command = commands.add_parser("inspect", help="look at a scene before training: numbers, warnings, two pictures")
    command.add_argument("scene", metavar="DATASET/SCENE", help="as configured, such as bricks/bricks")
    command.add_argument("--project", type=Path, default=Path(), metavar="FOLDER", help="holds config/ (default: here)")
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for the pictures (default: results/inspect/DATASET/SCENE)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(call=inspect)
    add_commands(commands)
    args = parser.parse_args()
    args.call(args)
