"""Draw details of one scene at every level, by the truth and all variants."""

import argparse
import logging
from pathlib import Path

from mipnerf.config.sections import CropConfig
from mipnerf.console import run, setup_logging
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.pyramid import plot_pyramid
from mipnerf.report.frame import read_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder of the scene")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of this scene")
    parser.add_argument(
        "--crop", type=int, nargs=4, metavar=("VIEW", "X", "Y", "SIZE"), help="default: where the variants differ most"
    )
    parser.add_argument("--svg", type=Path, required=True, metavar="FILE", help="figure to write")
    parser.add_argument("--png", type=Path, required=True, metavar="FILE", help="the same figure as pixels")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    runs = read_runs(args.runs)
    crop = CropConfig(**dict(zip(("view", "x", "y", "size"), args.crop, strict=True))) if args.crop else None
    save_figure(plot_pyramid(args.data, runs, crop), args.svg, args.png)
    logging.info("wrote %s and %s from %d runs", args.svg, args.png, len(runs))


if __name__ == "__main__":
    run(main)
