"""Draw one view of a scene as all variants render it: beside the truth with errors at every level, or with depths."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.figures.depths import plot_depth
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.strips import plot_strip
from mipnerf.report.frame import read_runs

KINDS = {"strip": plot_strip, "depth": plot_depth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="errors at every level, or depth and opacity")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder of the scene")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of this scene")
    parser.add_argument("--view", type=int, metavar="N", help="test view; default: the middle one of those evaluated")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    runs = read_runs(args.runs)
    save_figure(KINDS[args.kind](args.data, runs, args.view), args.output)
    logging.info("wrote %s from %d runs", args.output, len(runs))


if __name__ == "__main__":
    run(main)
