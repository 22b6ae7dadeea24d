"""Render the embedded dataset `bricks` in the layout of the Blender scenes."""

import argparse
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.datasets.bricks import render_bricks
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to make; an old one is replaced")
    parser.add_argument("--size", type=int, default=128, help="width and height of the images in pixels")
    parser.add_argument("--train", type=int, default=60, help="training views")
    parser.add_argument("--val", type=int, default=4, help="validation views")
    parser.add_argument("--test", type=int, default=12, help="test views")
    parser.add_argument("--samples", type=int, default=4, help="rays a pixel and axis")
    parser.add_argument("--threads", type=parse_threads, default="1", help="processes: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, help="file for the log")
    args = parser.parse_args()
    setup_logging(args.log)
    render_bricks(args.output, args.size, args.train, args.val, args.test, args.samples, args.threads)


if __name__ == "__main__":
    run(main)
