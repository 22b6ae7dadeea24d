"""Draw depth, accumulated opacity and error of one view of a scene, by all variants."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.depths import plot_depth
from mipnerf.report.frame import read_runs
from mipnerf.report.plots import save_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder of the scene")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of this scene")
    parser.add_argument("--view", type=int, metavar="N", help="test view; default: the middle one of those evaluated")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    runs = read_runs(args.runs)
    save_figure(plot_depth(args.data, runs, args.view), args.output)
    logging.info("wrote %s from %d runs", args.output, len(runs))


if __name__ == "__main__":
    run(main)
