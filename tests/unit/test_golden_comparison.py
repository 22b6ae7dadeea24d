"""The comparison with golden arrays itself: what it refuses, and that nothing escapes its marker and its summary."""

from dataclasses import asdict

import numpy as np
import pytest
import torch


@pytest.fixture
def recorder(compare):
    """A recorder of its own, which leaves the summary alone."""
    return type(compare)()


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0, 2.1], [1.0, 2.0], "1 of 2 elements deviate; the worst by 0.1 from 2, 2.00 times the tolerance"),
        ([1.0, np.nan], [1.0, 2.0], "not finite at other places"),
        ([1.0, 2.0], [1.0, np.inf], "not finite at other places"),
        ([1.0], [1.0, 1.0], r"shape \(1,\), expected \(2,\)"),
        (torch.ones(2), [1.0, 1.0], "float32, expected float64"),
        ("lego", np.array("ship"), "file/array"),
    ],
)
def test_another_array_is_refused(recorder, actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        recorder("file/array", actual, np.asarray(expected), atol=0.05)


def test_a_deviation_within_the_tolerance_is_recorded(recorder):
    recorder("file/array", [1.0, np.nan], [1.25, np.nan], atol=0.25, rtol=0.2)
    assert recorder.files["file"].absolute == 0.25
    assert recorder.files["file"].of_tolerance == pytest.approx(0.5)


def test_what_several_processes_recorded_is_joined(recorder):
    others = [type(recorder)() for _ in range(2)]
    for other, pairs in zip(others, ({"a": 0.1, "b": 0.3}, {"b": 0.2, "c": 0.0}), strict=True):
        for array, deviation in pairs.items():
            other(f"file/{array}", 1.0 + deviation, 1.0, atol=0.5)
        # As plain values, which is how they come from another process.
        recorder.add("file", **asdict(other.files["file"]))
    joined = recorder.files["file"]
    assert joined.arrays == {"a", "b", "c"}
    assert joined.absolute == pytest.approx(0.3)
    assert (joined.of_tolerance, joined.worst) == (pytest.approx(0.6), "b")


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_file_is_compared_as_a_whole(recorder, change):
    arrays = {"a": np.ones(2), "b": np.ones(2)}
    actual = {"a": np.ones(2)} if change == "missing" else arrays | {"c": np.ones(2)}
    with pytest.raises(AssertionError):
        recorder.all("file", actual, arrays)


def test_an_array_that_nobody_compares_is_shown(recorder):
    lines = []
    for array in ("mean", "cov_diag", "covariance"):
        recorder(f"mip_cylinder/{array}", 1.0, 1.0)
    recorder.report(lambda line, **_: lines.append(line), whole=False)
    assert [line.split() for line in lines[1:]] == [
        ["mip_cylinder", "2", "3", "0.0e+00", "0.0%", "mean"],
        ["not", "compared:", "cov_full"],
        ["not", "in", "the", "file:", "covariance"],
        ["total", "2", "3"],
    ]


def test_a_whole_run_shows_files_that_nobody_compares(recorder):
    lines = []
    recorder.report(lambda line, **_: lines.append(line), whole=True)
    assert ["f64/mip_ipe", "0", "7"] in [line.split()[:3] for line in lines]


def test_the_golden_marker_selects_all_tests_that_meet_golden_arrays(request, golden):
    """Of the tests that were collected with this one, which is one of them."""
    for item in request.session.items:
        meets = {"golden", "golden_case", "golden_network", "golden_dir", "compare"} & {*item.fixturenames}
        assert item.get_closest_marker("golden") or not meets, item.nodeid
    assert request.node.get_closest_marker("golden")


def test_golden_arrays_are_read_through_fixtures_only(request):
    """A test that opened them itself would escape the marker."""
    for path in (request.config.rootpath / "tests").rglob("test_*.py"):
        text = path.read_text()
        assert path == request.path or not ('/ "golden"' in text or "MIPNERF_GOLDEN_DIR" in text), path
