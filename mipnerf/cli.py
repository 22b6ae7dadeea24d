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
    args = parser.parse_args()
    args.call(args)
