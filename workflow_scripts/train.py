"""Train one network on one scene; goes on from its last checkpoint if it was stopped."""

import argparse
import time
from pathlib import Path

from mipnerf.config.runs import run_of_folder, split_operation
from mipnerf.console import run, setup_logging
from mipnerf.threads import parse_threads
from mipnerf.training.fresh import fresh_word


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the scene")
    parser.add_argument("--output", type=Path, required=True, help="folder DATASET/VARIANT/SCENE for the results")
    parser.add_argument("--levels", type=int, default=4, metavar="N", help="resolution levels it has (default 4)")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="differences from the defaults: model.net_width=64 ...",
    )
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="where the data come from, for the record")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--fresh", action="store_true", help="train anew; what is there is put aside")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log, kept=args.log.with_name("train_all.log") if args.log else None)
    settings, operation = split_operation(args.set)
    config = run_of_folder(args.output, settings, args.levels)

    from mipnerf.datasets.fetching.sources import is_verified
    from mipnerf.datasets.load import load_scene
    from mipnerf.training.loop import train
    from mipnerf.training.preparing import compiling_meanwhile
    from mipnerf.training.validating import validation_views

    fresh = str(time.time_ns()) if args.fresh else fresh_word(args.output)
    # No name is given to the scene, so that its images are gone once training has copied their pixels.
    train(
        config,
        operation,
        compiling_meanwhile(config, operation, lambda: load_scene(args.data, "train", config.levels, config.data)),
        args.output,
        fresh,
        args.threads,
        is_verified(args.manifest) if args.manifest else None,
        validation_views(args.data, config, operation),
    )


if __name__ == "__main__":
    run(main)
