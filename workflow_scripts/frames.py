"""Render frames of a camera path with a trained model; goes on from the frames that are there."""

import argparse
from pathlib import Path

from mipnerf.config.runs import operation_from_settings
from mipnerf.console import run, setup_logging
from mipnerf.evaluation.shards import parse_shard
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of the run")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the scene")
    parser.add_argument("--path", required=True, metavar="NAME", help="spherical, spiral or zoom")
    parser.add_argument("--frames", type=int, default=120, metavar="N", help="of the whole path (default 120)")
    parser.add_argument("--width", type=int, metavar="PIXELS", help="of the colours (default: as the images)")
    parser.add_argument("--shard", default="1_of_1", metavar="I_of_N", help="only this part of the frames: 2_of_3")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write; the frames are beside it")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log)
    operation, shard = operation_from_settings(args.set), parse_shard(args.shard)

    from mipnerf.views.frames import render_shard
    from mipnerf.views.renderer import Renderer

    renderer = Renderer.open(args.model, operation, args.threads)
    render_shard(args.model, args.data, renderer, args.path, args.frames, args.output, shard, args.width)


if __name__ == "__main__":
    run(main)
