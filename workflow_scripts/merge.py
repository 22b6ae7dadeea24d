"""Put the shards of one evaluated level together."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.shards import merge_shards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, metavar="FOLDER", help="in their order")
    parser.add_argument("--output", type=Path, required=True, help="folder for metrics.csv and renderings/")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    num_images = merge_shards(args.shards, args.output)
    logging.info("%s: %d images of %d shards", args.output, num_images, len(args.shards))


if __name__ == "__main__":
    run(main)
