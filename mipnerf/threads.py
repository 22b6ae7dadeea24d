"""How many CPU threads a process may use: what was granted, within what the machine has."""

import argparse
import os


def available_cpus() -> int:
    """CPUs that this process may run on (a scheduler may have bound it to a few)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parse_threads(text: str) -> int:
    """Threads from `N`, or from `N/M`: N of the M cores that a workflow was told it has.

    Never more than the machine has; and where M exceeds that, the same share of what is there, so that jobs which fill
    M imagined cores together fill the real ones just once.
    """
    granted, _, total = text.partition("/")
    cpus = available_cpus()
    try:
        share, whole = int(granted), int(total) if total not in ("", "None") else 0
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither N nor N/M, such as 2 or 4/8") from None
    if share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} grants no thread; at least 1 is needed")
    return max(1, min(share, cpus, share * cpus // max(whole, cpus)))
