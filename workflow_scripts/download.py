"""Download one scene from the first of several places that has it, and unpack it."""

import argparse
from pathlib import Path
from typing import get_args

from mipnerf.config import Verify
from mipnerf.config.runs import operation_from_settings
from mipnerf.console import run, setup_logging
from mipnerf.datasets.fetching.obtain import obtain_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--urls", nargs="+", required=True, metavar="URL", help="tried in order; {scene} in one stands for the scene"
    )
    parser.add_argument(
        "--scene", required=True, metavar="NAME", help="folder of the scene, at any depth in the archive"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="replaced as a whole; manifest.json comes last"
    )
    parser.add_argument(
        "--downloads",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where archives arrive; those of many scenes stay",
    )
    parser.add_argument("--checksums", type=Path, metavar="FILE", help="SHA-256 sums of the scene's official files")
    parser.add_argument("--photos", action="store_true", help="the scene has photographs or a video, and no cameras")
    parser.add_argument(
        "--verify", choices=get_args(Verify), default="strict", help="what to do with files of other sums"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.download_attempts=2 ...")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages here")
    args = parser.parse_args()

    setup_logging(args.log)
    operation = operation_from_settings(args.set)
    obtain_scene(
        args.urls, args.scene, args.output, args.downloads, operation, args.checksums, args.verify, args.photos
    )


if __name__ == "__main__":
    run(main)
