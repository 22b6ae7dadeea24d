"""What a whole workflow wants done anew, although it is there."""

import os
from pathlib import Path

TRAINING, EVALUATION = "MIPNERF_FRESH", "MIPNERF_FRESH_EVALUATION"


def fresh_word(folder: Path, variable: str = TRAINING) -> str:
    """The word under which a workflow wants this run trained, or evaluated, anew; or nothing.

    The environment's `variable` holds the word and the ends of the folders that it is for. A job that finds its own
    word in what is there goes on with that.
    """
    word, *folders = os.environ.get(variable, "").split() or [""]
    return word if any(folder.resolve().as_posix().endswith(f"/{end}") for end in folders) else ""
