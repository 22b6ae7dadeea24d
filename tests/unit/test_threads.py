import argparse

import pytest

from mipnerf import threads


@pytest.mark.parametrize(
    ("text", "cpus", "expected"),
    [
        ("4/8", 8, 4),  # what was granted
        ("4/8", 2, 1),  # half of what is there
        ("8/8", 2, 2),
        ("2/8", 2, 1),  # never none
        ("4/4", 64, 4),
        ("4", 2, 2),
        ("4/0", 64, 4),  # the total is unknown
        ("4/None", 64, 4),
    ],
)
def test_threads_are_a_share_of_the_machine(monkeypatch, text, cpus, expected):
    monkeypatch.setattr(threads, "available_cpus", lambda: cpus)
    assert threads.parse_threads(text) == expected


def test_jobs_that_fill_the_imagined_cores_fill_the_real_ones_once(monkeypatch):
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    assert sum(threads.parse_threads("4/8") for _ in range(2)) == 2


@pytest.mark.parametrize("text", ["", "two", "0", "-1", "1/x"])
def test_other_text_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        threads.parse_threads(text)
