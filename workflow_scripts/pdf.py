"""Draw one figure of one dataset as a PDF for a paper, as wide as one of its columns or its page."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.figures.kinds import DATASET_FIGURES, PRINT_WIDTHS
from mipnerf.report.figures.printing import save_for_print
from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=list(DATASET_FIGURES), required=True, help="what to draw")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of one dataset")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="FOLDER", help="folder of the published numbers"
    )
    parser.add_argument("--width", choices=list(PRINT_WIDTHS), required=True, help="3.25 or 6.875 inches")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PDF to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    figure = DATASET_FIGURES[args.kind].draw(read_runs(args.runs), load_reference(args.reference))
    save_for_print(figure, args.output, args.width)
    logging.info("wrote %s from %d runs", args.output, len(args.runs))


if __name__ == "__main__":
    run(main)
