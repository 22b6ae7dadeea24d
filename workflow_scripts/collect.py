"""Put the metrics of all levels of one run into one file."""

import argparse
import logging
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.report.frame import read_metrics, write_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, metavar="FILE", help="level_*/metrics.csv")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="metrics.csv to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    metrics = read_metrics(args.inputs)
    write_metrics(args.output, metrics)
    logging.info("wrote %s: %d values of %d files", args.output, len(metrics), len(args.inputs))


if __name__ == "__main__":
    run(main)
