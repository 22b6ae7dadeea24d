"""Find the cameras of photographs or of a video; goes on from what is there if it was stopped."""

import argparse
from functools import partial
from pathlib import Path

from mipnerf.config import DataConfig
from mipnerf.config.runs import parse_settings
from mipnerf.config.validation import validated
from mipnerf.console import run, setup_logging
from mipnerf.datasets.captures.photos import find_cameras
from mipnerf.inspection.found import draw_found
from mipnerf.threads import available_cpus, parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--input", type=Path, required=True, metavar="FOLDER", help="photographs, or one video; subfolders count"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="replaced as a whole; manifest.json comes last"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="data.frames=60 ...")
    parser.add_argument(
        "--threads", type=parse_threads, default=available_cpus(), metavar="SPEC", help="N, or N/M: N of M cores"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages here")
    args = parser.parse_args()

    setup_logging(args.log)
    data = validated(DataConfig, parse_settings(args.set, ("data",)).get("data", {}))
    draw = partial(draw_found, name=args.output.name, data=data)
    find_cameras(args.input, args.output, data, args.threads, draw)


if __name__ == "__main__":
    run(main)
