"""Write the report of several runs as one HTML file, which needs nothing beside it."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.files import write_text
from mipnerf.report.frame import lpips_reason
from mipnerf.report.page.build import build_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FOLDER", help="run folders, in order")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="FOLDER", help="folder of the published numbers"
    )
    parser.add_argument(
        "--data", nargs="*", default=[], metavar="DATASET/SCENE=FOLDER", help="the folder of each scene, for its truth"
    )
    parser.add_argument(
        "--figures", type=Path, nargs="*", default=[], metavar="FILE", help="pictures {dataset}_*, PNG or SVG"
    )
    parser.add_argument(
        "--lpips", type=Path, metavar="FILE", help="JSON of weights.py, which says why LPIPS is missing"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="HTML to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    folders = {name: Path(folder) for name, _, folder in (entry.partition("=") for entry in args.data)}
    reason = lpips_reason(args.lpips) if args.lpips else None
    text = build_page(args.runs, args.reference, folders, args.figures, reason)
    write_text(args.output, text)
    logging.info("wrote %s: %.1f MiB from %d runs", args.output, len(text) / 2**20, len(args.runs))


if __name__ == "__main__":
    run(main)
