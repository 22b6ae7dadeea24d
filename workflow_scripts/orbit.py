"""Render what the report shows of a run from all around its scene, and ever farther away."""

import argparse
from pathlib import Path

from mipnerf.config.runs import operation_from_settings
from mipnerf.console import run, setup_logging
from mipnerf.threads import parse_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of the run")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the scene")
    parser.add_argument("--path", required=True, metavar="NAME", help="spherical or spiral")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="of the whole path (default 24)")
    parser.add_argument("--width", type=int, default=96, metavar="PIXELS", help="of the nearest frames (default 96)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for level_0.json and the others")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    parser.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")
    parser.add_argument("--log", type=Path, help="write the log here as well")
    args = parser.parse_args()
    setup_logging(args.log)
    operation = operation_from_settings(args.set)

    from mipnerf.views.orbits import render_orbit
    from mipnerf.views.renderer import Renderer

    renderer = Renderer.open(args.model, operation, args.threads)
    render_orbit(args.model, args.data, renderer, args.path, args.frames, args.width, args.output)


if __name__ == "__main__":
    run(main)
