"""Captures that are spoiled at random load or are refused by one message: few here, any number by a variable.

MIPNERF_SPOILED=1000 spoils so many; `python tests/capture_mutations.py` does it with any seed, within bounded memory.
"""

import os
import random

import capture_mutations
import pytest
from capture_mutations import LAYOUTS, limited_memory, outcome, run

COUNT = int(os.environ.get("MIPNERF_SPOILED", 60))


@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_capture_loads_or_is_refused_by_one_message_that_names_the_file(tmp_path):
    with limited_memory():
        results = run(COUNT, 0, tmp_path)
    assert [entry for entry in results if entry[2] not in ("loads", "refused")] == []
    assert {layout for layout, _, _ in results} == set(LAYOUTS)
    assert {result for _, _, result in results} == {"loads", "refused"}


def test_other_errors_would_be_told(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("frames")

    monkeypatch.setattr(capture_mutations, "load_scene", broken)
    assert "KeyError" in outcome(tmp_path, "transforms.json", random.Random(0))
