"""Write the result table of several runs as Markdown and as tidy CSV."""

import argparse
import logging
import os
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.files import write_text
from mipnerf.report.frame import lpips_reason
from mipnerf.report.tables import build_tables


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
    parser.add_argument("--markdown", type=Path, required=True, metavar="FILE", help="table to write")
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="the same numbers, tidy and unrounded")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    links = [Path(os.path.relpath(figure, args.markdown.parent)).as_posix() for figure in args.figures]
    reason = lpips_reason(args.lpips) if args.lpips else None
    markdown, tidy = build_tables(args.runs, args.reference, links, reason)
    write_text(args.csv, tidy.to_csv(index=False, lineterminator="\n"))
    write_text(args.markdown, markdown)
    logging.info("wrote %s and %s from %d runs", args.markdown, args.csv, len(args.runs))


if __name__ == "__main__":
    run(main)
