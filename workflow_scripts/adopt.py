"""Give a variant that only evaluates otherwise the network of the variant that was trained."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.training.results import adopt_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="the trained run")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder DATASET/VARIANT/SCENE")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    adopt_run(args.run, args.output)
    logging.info("%s evaluates the network of %s", args.output, args.run)


if __name__ == "__main__":
    run(main)
