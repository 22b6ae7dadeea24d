"""What the command line asks of Snakemake, which tells nobody its targets before it has read all rules."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Command:
    """The targets of a command, and what of them is to be made anew whatever is there."""

    targets: tuple[str, ...] = ()
    forced: frozenset[str] = frozenset()
    forces_all: bool = False

    def forces(self, rules: Sequence[str], files: Sequence[str]) -> bool:
        """Whether one of `rules`, also under a module's prefix, or one of `files` is to be made anew."""
        is_forced = any(name == rule or name.endswith(f"_{rule}") for name in self.forced for rule in rules)
        return self.forces_all or is_forced or not self.forced.isdisjoint(files)


def read_command(argv: Sequence[str]) -> Command:
    """The command of `snakemake ARGUMENTS`, an empty one where another program runs the workflow."""
    program = PurePath(argv[0]) if argv else PurePath()
    if "snakemake" not in (program.stem, program.parent.name):
        return Command()
    from snakemake.cli import get_argument_parser

    # A mistake has been reported by now, unless it was meant for a profile's options.
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        known, _ = get_argument_parser().parse_known_args(list(argv[1:]))
        targets = tuple(normalized(target) for target in known.targets or ())
        forced = {normalized(name) for name in known.forcerun or ()}
        return Command(targets, frozenset(forced | (set(targets) if known.force else set())), known.forceall)
    return Command()


def normalized(path: str) -> str:
    """`path` without a leading `./`."""
    return path.removeprefix("./")
