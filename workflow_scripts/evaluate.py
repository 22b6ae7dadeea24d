"""Render the test views of one resolution level with a trained model and score them."""

import argparse
from pathlib import Path

from mipnerf.console import run, setup_logging
from mipnerf.runs import operation_from_settings
from mipnerf.shards import parse_shard
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of the run")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the scene")
    parser.add_argument("--level", type=int, required=True, help="0 is full resolution, 1 half of it, ...")
    parser.add_argument("--output", type=Path, required=True, help="folder for metrics.csv and renderings/")
    parser.add_argument("--max-views", type=int, help="evaluate this many views, evenly spread (default: all)")
    parser.add_argument("--supersample", action="store_true", help="render full resolution and average it down")
    parser.add_argument("--shard", default="1_of_1", metavar="I_of_N", help="only this part of the views: 2_of_3")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="measure LPIPS with the weights that FILE tells of")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log)
    operation, shard = operation_from_settings(args.set), parse_shard(args.shard)

    from mipnerf.datasets.load import load_scene
    from mipnerf.devices import resolve_device
    from mipnerf.evaluation import evaluate_level, load_trained
    from mipnerf.perceptual import lpips_from

    device = resolve_device(operation.device)
    trained = load_trained(args.model, device)
    run_config = trained.run
    scene = load_scene(args.data, "test", run_config.levels, run_config.data, args.max_views, level=args.level)
    lpips = lpips_from(args.lpips, device) if args.lpips else None
    evaluate_level(trained, scene, args.level, operation, args.output, args.threads, args.supersample, lpips, shard)


if __name__ == "__main__":
    run(main)
