"""Take one scene out of a local archive or folder."""

import argparse
from pathlib import Path
from typing import get_args

from mipnerf.config import Verify
from mipnerf.console import run, setup_logging
from mipnerf.datasets.fetching.fetch import fetch_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source", type=Path, required=True, metavar="PATH", help="archive (.zip, .tar, .tar.gz, ...) or folder"
    )
    parser.add_argument(
        "--scene", required=True, metavar="NAME", help="folder of the scene, at any depth in the source"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="replaced as a whole; manifest.json comes last"
    )
    parser.add_argument("--checksums", type=Path, metavar="FILE", help="SHA-256 sums of the scene's official files")
    parser.add_argument("--photos", action="store_true", help="the scene has photographs or a video, and no cameras")
    parser.add_argument(
        "--verify", choices=get_args(Verify), default="strict", help="what to do with files of other sums"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages here")
    arguments = parser.parse_args()

    setup_logging(arguments.log)
    fetch_scene(
        arguments.source,
        arguments.scene,
        arguments.output,
        arguments.checksums,
        arguments.verify,
        are_photos=arguments.photos,
    )


if __name__ == "__main__":
    run(main)
