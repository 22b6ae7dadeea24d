"""Draw one figure of one dataset: quality against level or cost, training curves, or differences from the published."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.figures.kinds import DATASET_FIGURES
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.frame import read_runs
from mipnerf.report.reference import load_reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=list(DATASET_FIGURES), required=True, help="what to draw")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of one dataset")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="FOLDER", help="folder of the published numbers"
    )
    parser.add_argument("--svg", type=Path, required=True, metavar="FILE", help="figure to write")
    parser.add_argument("--png", type=Path, required=True, metavar="FILE", help="the same figure as pixels")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    runs = read_runs(args.runs)
    figure = DATASET_FIGURES[args.kind].draw(runs, load_reference(args.reference))
    save_figure(figure, args.svg, args.png)
    logging.info("wrote %s and %s from %d runs", args.svg, args.png, len(runs))


if __name__ == "__main__":
    run(main)
