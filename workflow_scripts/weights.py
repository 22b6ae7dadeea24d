"""Find or download the VGG16 weights of LPIPS; where they cannot be had, write down why."""

import argparse
import json
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.files import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON to write, in either case")
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="look here first, and download to here (default: torch.hub's)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)

    from mipnerf.evaluation.perceptual import find_weights

    record = find_weights(args.folder)
    write_text(args.output, json.dumps(record, indent=2) + "\n")
    logging.info("LPIPS: %s", record.get("path") or f"not available: {record['reason']}")


if __name__ == "__main__":
    run(main)
