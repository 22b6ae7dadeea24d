"""Render the test views of a run at several resolution levels and score them; goes on from the views that are there."""

import argparse
import time
from pathlib import Path

from mipnerf.config.runs import operation_from_settings
from mipnerf.console import run, setup_logging
from mipnerf.evaluation.shards import parse_shard
from mipnerf.threads import parse_threads
from mipnerf.training.fresh import EVALUATION, fresh_word


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of the run")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the scene")
    parser.add_argument("--levels", type=int, nargs="+", required=True, help="0 is full resolution, 1 half of it, ...")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for level_K/ with its pictures")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="also write the metrics of all --levels here")
    parser.add_argument("--max-views", type=int, help="evaluate this many views, evenly spread (default: all)")
    parser.add_argument("--supersample", action="store_true", help="render full resolution and average it down")
    parser.add_argument("--shard", default="1_of_1", metavar="I_of_N", help="only this part of the views: 2_of_3")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="measure LPIPS with the weights that FILE tells of")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--fresh", action="store_true", help="render all views, also those that are there")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log)
    operation, shard = operation_from_settings(args.set), parse_shard(args.shard)
    if args.collect and shard.count > 1:
        parser.error("--collect needs all views; leave --shard out")

    from mipnerf.datasets.load import load_scene
    from mipnerf.devices import resolve_device
    from mipnerf.evaluation.perceptual import lpips_from
    from mipnerf.evaluation.views import Evaluator, load_trained
    from mipnerf.report.rows import collect_metrics

    device = resolve_device(operation.device)
    trained = load_trained(args.model, device)
    lpips = lpips_from(args.lpips, device) if args.lpips else None
    evaluator = Evaluator.create(trained, operation, args.threads, args.supersample, lpips)
    # The images of all levels are a third more than those of the first.
    only_level = args.levels[0] if len(args.levels) == 1 else None
    scene = load_scene(args.data, "test", trained.run.levels, trained.run.data, args.max_views, level=only_level)
    fresh = str(time.time_ns()) if args.fresh else fresh_word(args.output, EVALUATION)
    evaluator.evaluate(scene, args.levels, args.output, shard, fresh)
    if args.collect:
        # Snakemake has no record of the files of levels; one that is asked for by name shall be looked at again.
        levels = [args.output / f"level_{level}" / "metrics.csv" for level in args.levels]
        collect_metrics(levels, args.collect, older_than=args.model)


if __name__ == "__main__":
    run(main)
