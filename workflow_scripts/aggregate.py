"""Write the short table of several runs, in all formats, and what of them is the published number."""

import argparse
import logging
import os
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.frame import lpips_reason, read_runs
from mipnerf.report.reference import load_reference
from mipnerf.report.tables.output import write_overview


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="run folders, in order")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="FOLDER", help="folder of the published numbers"
    )
    parser.add_argument(
        "--figures", type=Path, nargs="*", default=[], metavar="FILE", help="pictures {dataset}_*.png to show"
    )
    parser.add_argument(
        "--lpips", type=Path, metavar="FILE", help="JSON of weights.py, which says why LPIPS is missing"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for table.* and verdict.*")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    links = [Path(os.path.relpath(figure, args.output)).as_posix() for figure in args.figures]
    reason = lpips_reason(args.lpips) if args.lpips else None
    runs, reference = read_runs(args.runs), load_reference(args.reference)
    verdict = write_overview(args.output, runs, reference, figures=links, lpips_reason=reason)
    logging.info("wrote %s from %d runs", args.output / "table.md", len(runs))
    logging.info("%s", verdict.replace("**", ""))


if __name__ == "__main__":
    run(main)
