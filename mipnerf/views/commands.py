"""The commands of `python -m mipnerf` that show what a network has learnt: one view, a mesh."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mipnerf.config import RunConfig
from mipnerf.config.runs import operation_from_settings, scene_folder
from mipnerf.console import setup_logging
from mipnerf.errors import ConfigError
from mipnerf.thirdparty import require_package
from mipnerf.threads import parse_threads

if TYPE_CHECKING:  # what takes long to import is left to the commands
    from mipnerf.datasets.scene import Scene


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `render` and `mesh` to the commands of a parser."""
    command = commands.add_parser("render", help="one view of a trained network, at any scale and pose")
    add_common(command, "image to write (PNG)")
    camera = command.add_mutually_exclusive_group()
    camera.add_argument("--view", type=int, metavar="I", help="test view of the data (default: 0)")
    camera.add_argument("--pose", type=Path, metavar="FILE", help="camera to world, 3x4 or 4x4, as text or JSON")
    camera.add_argument(
        "--spherical",
        type=float,
        nargs=3,
        metavar=("THETA", "PHI", "RADIUS"),
        help="look at the origin: azimuth and elevation in degrees, distance",
    )
    camera.add_argument("--path", metavar="NAME", help="a frame of the path spherical, spiral or zoom; see --frame")
    command.add_argument("--frame", type=int, default=0, metavar="I", help="of --path (default 0)")
    command.add_argument("--frames", type=int, default=120, metavar="N", help="that --path has (default 120)")
    command.add_argument("--level", type=int, metavar="L", help="resolution level of the data (default 0, the finest)")
    command.add_argument(
        "--scale", type=float, default=1.0, metavar="S", help="times as many pixels a side (default 1)"
    )
    for name, what in (("width", "pixels"), ("height", "pixels")):
        command.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} at scale 1 (default: the data's)")
    command.add_argument("--focal", type=float, metavar="X", help="pixels at scale 1 (default: the data's)")
    for name in ("near", "far"):
        command.add_argument(f"--{name}", type=float, metavar="X", help="of the samples (default: the data's)")
    command.add_argument("--depth", type=Path, metavar="FILE", help="distances: a picture (.png), or the values (.npy)")
    command.set_defaults(call=render)

    command = commands.add_parser("mesh", help="a coloured mesh from the density of a trained network")
    add_common(command, "mesh to write (PLY)")
    command.add_argument("--resolution", type=int, default=256, metavar="N", help="cells of the longest side (256)")
    command.add_argument(
        "--threshold", type=float, metavar="X", help="density of the surface (default: a fiftieth of it is half opaque)"
    )
    command.add_argument(
        "--bounds",
        type=float,
        nargs=6,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="corners of what is looked at, in NDC for LLFF that faces forward (default: what a view of the data shows "
        "around the origin, or the data.box of the training, beyond which there is nothing)",
    )
    command.set_defaults(call=mesh)


def add_common(command: argparse.ArgumentParser, output: str) -> None:
    """The arguments that both commands have."""
    command.add_argument("model", type=Path, metavar="MODEL_PT", help="model.pt of the run")
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help=output)
    command.add_argument(
        "--data", type=Path, metavar="FOLDER", help="the folder of the scene (default: as configured here)"
    )
    command.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="on top of config/, as for snakemake"
    )
    command.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="operation.device=cpu ...")
    command.add_argument("--threads", type=parse_threads, default="1024", help="CPU threads: N, or N/M of M cores")


def data_folder(run: RunConfig, given: Path | None, configfiles: Sequence[Path]) -> Path | None:
    """Where the scene of a run is: as `given`, or as the project in this folder has it, if it does."""
    from mipnerf.config.files import read_suite

    if given is not None:
        return given
    suite = read_suite(Path(), configfiles)
    if run.dataset not in suite.datasets:
        return None
    folder = Path(scene_folder(suite, run.dataset, run.scene))
    return folder if folder.is_dir() else None


def render(args: argparse.Namespace) -> None:
    """Write one view, and if asked for its depth."""
    from mipnerf.views.renderer import Renderer, write_view

    setup_logging()
    renderer = Renderer.open(args.model, operation_from_settings(args.set), args.threads)
    folder = data_folder(renderer.trained.run, args.data, args.configfile)
    write_view(renderer, *choose_camera(args, renderer.trained.run, folder), args.output, args.depth)


def choose_camera(
    args: argparse.Namespace, run: RunConfig, folder: Path | None
) -> tuple["Scene", "Scene | None", float]:
    """The one view that is asked for, the one of the data that it was made from, and its scale, for `write_view`."""
    from mipnerf.views.paths import camera_path, spherical_pose
    from mipnerf.views.renderer import free_view, load_view, read_pose

    given = {name: getattr(args, name) for name in ("width", "height", "focal", "near", "far")}
    if folder is None and (needing := [n for n in ("view", "path", "level") if getattr(args, n) is not None]):
        raise ConfigError(f"--{needing[0]} needs the data of the run; name the scene's folder by --data")
    scale, base = args.scale, None
    if folder is not None and args.path is not None:
        if not 0 <= args.frame < args.frames:
            raise ConfigError(f"frame {args.frame} does not exist; the path has {args.frames}, counted from 0")
        track = camera_path(folder, run.data, args.path, args.frames, run.levels)
        base, scale = track.scene.select([args.frame]), scale * track.scales[args.frame] / 2 ** (args.level or 0)
    elif folder is not None:
        base = load_view(folder, run, args.view or 0, args.level or 0)
    pose = None
    if args.pose is not None:
        pose = read_pose(args.pose)
    elif args.spherical is not None:
        pose = spherical_pose(*args.spherical)
    return free_view(base, pose, given), base, scale


def mesh(args: argparse.Namespace) -> None:
    """Write a mesh."""
    require_package("skimage")  # before anything takes long
    if args.output.suffix.lower() != ".ply":
        raise ConfigError(f"{args.output} must end with .ply, the one format that is written")

    import numpy as np

    from mipnerf.views.mesh import bounds_of, extract_mesh, plane_of, write_ply
    from mipnerf.views.renderer import Renderer, load_view

    setup_logging()
    renderer = Renderer.open(args.model, operation_from_settings(args.set), args.threads)
    run = renderer.trained.run
    folder = data_folder(run, args.data, args.configfile)
    if folder is None and args.bounds is None:
        raise ConfigError(
            "without the data of the run, --bounds have to be given; or name the scene's folder by --data"
        )
    view = None if folder is None else load_view(folder, run)
    if args.bounds is not None or view is None:
        bounds = np.reshape(args.bounds, (2, 3))
    else:
        bounds = bounds_of(view) if run.data.box is None else np.reshape(run.data.box, (2, 3))
    if run.data.box is not None:  # beyond which the network knows nothing
        low, high = np.reshape(run.data.box, (2, 3))
        bounds = np.stack([np.maximum(bounds[0], low), np.minimum(bounds[1], high)])
    plane = plane_of(view) if view is not None and view.ndc else None
    write_ply(extract_mesh(renderer, bounds, args.resolution, args.threshold, plane), args.output)
