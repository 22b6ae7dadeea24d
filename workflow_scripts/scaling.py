"""Measure how fast this machine trains and renders as batch, samples, width and image size grow, and draw it."""

import argparse
import logging
from pathlib import Path

import pandas as pd

from mipnerf.config.runs import run_from_settings, split_operation
from mipnerf.console import run, setup_logging
from mipnerf.files import atomic_path
from mipnerf.report.figures.plots import save_figure
from mipnerf.report.figures.scaling import plot_scaling
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="numbers to write")
    parser.add_argument("--svg", type=Path, required=True, metavar="FILE", help="figure to write")
    parser.add_argument("--png", type=Path, required=True, metavar="FILE", help="the same figure as pixels")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each point, at least (default 1)")
    parser.add_argument(
        "--limit", type=float, default=20.0, help="leave out what takes more seconds a step or image (default 20)"
    )
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="what is measured: model.net_depth=4 operation.device=cpu ... (default: the reference, 256 rays a step)",
    )
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also log to this file")
    args = parser.parse_args()
    setup_logging(args.log)
    settings, operation = split_operation(args.set)
    config = run_from_settings("bench", "bench", "bench", ["train.batch_size=256", *settings])

    from mipnerf.bench.scaling import describe_machine, measure_scaling

    points = pd.DataFrame(measure_scaling(config, operation, args.threads, args.seconds, args.limit))
    with atomic_path(args.csv) as temporary:
        points.to_csv(temporary, index=False)
    save_figure(plot_scaling(points, describe_machine(operation, args.threads)), args.svg, args.png)
    logging.info("wrote %s, %s and %s", args.csv, args.svg, args.png)


if __name__ == "__main__":
    run(main)
