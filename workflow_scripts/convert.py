"""Convert a Blender scene to the multiscale form of the mip-NeRF paper."""

import argparse
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.threads import available_cpus, parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="scene with transforms_{train,val,test}.json"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="replaced as a whole; manifest.json comes last"
    )
    parser.add_argument(
        "--levels", type=int, default=4, metavar="N", help="resolutions, each half of the one before (default 4)"
    )
    parser.add_argument(
        "--threads", type=parse_threads, default=available_cpus(), metavar="SPEC", help="N, or N/M: N of M cores"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages here")
    arguments = parser.parse_args()

    setup_logging(arguments.log)
    convert_to_multiscale(arguments.input, arguments.output, arguments.levels, arguments.threads)


if __name__ == "__main__":
    run(main)
