"""Write one table of a dataset beside the published numbers, in all formats."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference
from mipnerf.report.tables.output import write_table
from mipnerf.report.tables.paper import paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of one dataset")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="FOLDER", help="folder of the published numbers"
    )
    parser.add_argument("--table", required=True, metavar="NAME", help="table1, DATASET, DATASET_scenes, ...")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for NAME.md, NAME.csv, ...")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    tables = {table.name: table for table in paper_tables(read_runs(args.runs), load_reference(args.reference))}
    if args.table not in tables:
        parser.error(f"--table {args.table}: these runs have {', '.join(tables)}")
    write_table(args.output, tables[args.table])
    logging.info("wrote %s from %d runs", args.output / f"{args.table}.md", len(args.runs))


if __name__ == "__main__":
    run(main)
