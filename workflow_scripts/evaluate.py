"""Render the test views of one resolution level with a trained model and score them."""

import argparse
from pathlib import Path

from mipnerf.config import operation_from_settings
from mipnerf.console import run, setup_logging
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of the run")
    parser.add_argument("--data", type=Path, required=True, help="the converted scene, a folder with metadata.json")
    parser.add_argument("--level", type=int, required=True, help="0 is full resolution, 1 half of it, ...")
    parser.add_argument("--output", type=Path, required=True, help="folder for metrics.csv and renderings/")
    parser.add_argument("--max-views", type=int, help="evaluate this many views, evenly spread (default: all)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log)
    operation = operation_from_settings(args.set)

    from mipnerf.datasets.multiscale import load_scene
    from mipnerf.evaluation import evaluate_level

    scene = load_scene(args.data, "test", args.max_views)
    evaluate_level(args.model, scene, args.level, operation, args.output, args.threads)


if __name__ == "__main__":
    run(main)
