"""Draw the cameras of one scene, as its runs read it."""

import argparse
import logging
from pathlib import Path

from mipnerf.config import DataConfig, RunConfig
from mipnerf.console import run, setup_logging
from mipnerf.inspection.report import picture_cameras
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.frame import read_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the folder of the scene")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="runs of this scene")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    runs = read_runs(args.runs)
    first = runs[0]
    names = {key: first.setting(key) for key in ("dataset", "variant", "scene", "levels")}
    config = RunConfig(**names, data=DataConfig(**first.setting("data")))
    save_figure(picture_cameras(args.data, config), args.output)
    logging.info("wrote %s", args.output)


if __name__ == "__main__":
    run(main)
