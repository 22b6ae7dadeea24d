"""Encode the frames of a run as a video, or those of two runs side by side."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.views.movies import write_comparison, write_movie


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, nargs="+", required=True, metavar="FILE", help="manifests of all shards")
    parser.add_argument("--beside", type=Path, nargs="+", metavar="FILE", help="those of another run")
    parser.add_argument("--fps", type=int, default=30, metavar="N", help="frames a second (default 30)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="MP4 to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    if args.beside:
        write_comparison(args.frames, args.beside, args.fps, args.output)
    else:
        write_movie(args.frames, args.fps, args.output)
    logging.info("wrote %s", args.output)


if __name__ == "__main__":
    run(main)
