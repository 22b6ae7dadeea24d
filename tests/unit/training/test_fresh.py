import pytest

from mipnerf.training.fresh import EVALUATION, TRAINING, fresh_word


@pytest.mark.parametrize(("asked", "other"), [(TRAINING, EVALUATION), (EVALUATION, TRAINING)])
def test_only_what_was_named_of_the_runs_that_were_named_is_done_anew(tmp_path, monkeypatch, asked, other):
    monkeypatch.setenv(asked, "123 results/toy/mipnerf/a results/toy/mipnerf/b")
    run = tmp_path / "results" / "toy" / "mipnerf" / "b"
    assert fresh_word(run, asked) == "123"
    assert fresh_word(run, other) == ""
    assert fresh_word(run.with_name("c"), asked) == ""
    monkeypatch.delenv(asked)
    assert fresh_word(run, asked) == ""
