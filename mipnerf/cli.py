"""`python -m mipnerf`: what is no step of the workflow."""

import argparse
import json
from pathlib import Path

from tabulate import tabulate

from mipnerf import __version__
from mipnerf.config import json_schema


def status(args: argparse.Namespace) -> None:
    """Print a table of all runs."""
    from mipnerf.status import HEADERS, read_statuses

    statuses = read_statuses(args.results)
    if not statuses:
        print(f"no runs in {args.results}; `snakemake --cores 8 results/table.md` starts those of the configuration")
        return
    print(tabulate([status.cells() for status in statuses], HEADERS, tablefmt="simple", disable_numparse=True))


def schema(_: argparse.Namespace) -> None:
    """Print the JSON schema of the configuration files."""
    print(json.dumps(json_schema(), indent=2))


def import_run(args: argparse.Namespace) -> None:
    """Make a run of a checkpoint of another implementation."""
    from mipnerf.interop import import_checkpoint

    import_checkpoint(args.checkpoint, args.run, args.set, args.levels)


def export(args: argparse.Namespace) -> None:
    """Write a trained network as a checkpoint of google/mipnerf."""
    import torch

    from mipnerf.evaluation import load_trained
    from mipnerf.interop import export_flax

    model, run = load_trained(args.model, torch.device("cpu"))
    export_flax(model, run.train.max_steps, args.output)


def main() -> None:
    """Parse the command line and call its command."""
    parser = argparse.ArgumentParser(prog="python -m mipnerf", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("status", help="how far the runs are, from their files alone")
    command.add_argument("results", type=Path, nargs="?", default=Path("results"), help="default: results")
    command.set_defaults(call=status)
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
        "--levels", type=int, default=4, metavar="N", help="resolution levels of the dataset (default 4)"
    )
    command.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="what weights do not tell: model.num_samples=64 data.white_bkgd=false ... (default: as the reference)",
    )
    command.set_defaults(call=import_run)
    command = commands.add_parser("export", help="write a trained network as a checkpoint of google/mipnerf")
    command.add_argument("model", type=Path, metavar="MODEL_PT", help="model.pt of the run")
    command.add_argument(
        "output", type=Path, metavar="OUTPUT", help="file to write; the reference looks for FOLDER/checkpoint_STEP"
    )
    command.set_defaults(call=export)
    args = parser.parse_args()
    args.call(args)
