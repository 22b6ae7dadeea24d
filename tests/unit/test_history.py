from mipnerf.history import (
    HistoryRow,
    append_row,
    eta_seconds,
    format_duration,
    format_row,
    read_rows,
    truncate,
    write_rows,
)


def row(step: int) -> HistoryRow:
    return HistoryRow(step, 0.00112, 30.214, 4.8e-4, 118_000.0, step / 10)


def test_rows_come_back_as_they_were(tmp_path):
    path = tmp_path / "history.csv"
    for step in (1, 2, 3):
        append_row(path, row(step))
    assert read_rows(path) == [row(1), row(2), row(3)]
    assert path.read_text().splitlines()[0] == "step,loss,psnr,lr,rays_per_s,seconds"
    write_rows(tmp_path / "copy.csv", read_rows(path))
    assert read_rows(tmp_path / "copy.csv") == read_rows(path)


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / "history.csv"
    for step in (1, 2):
        append_row(path, row(step))
    path.write_text(path.read_text()[:-30])
    assert read_rows(path) == [row(1)]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path):
    path = tmp_path / "history.csv"
    for step in (10, 20, 30):
        append_row(path, row(step))
    truncate(path, 25)
    assert [r.step for r in read_rows(path)] == [10, 20]
    truncate(path, 5)
    assert not path.exists()
    truncate(path, 5)


def test_a_missing_history_is_empty(tmp_path):
    assert read_rows(tmp_path / "history.csv") == []


def test_the_line_says_where_training_stands():
    line = format_row(HistoryRow(12_300, 0.00112, 30.214, 4.8e-4, 118_000.0, 100.0), 1_000_000)
    assert line == "step    12,300/1,000,000 | loss 0.00112 | psnr 30.21 | lr 4.8e-04 | 118.0k rays/s | ETA 2:13:50"


def test_eta_and_durations():
    assert eta_seconds(row(10), 30) == 2
    assert [format_duration(s) for s in (0, 59.6, 61, 3600, 90_061)] == ["0:00", "1:00", "1:01", "1:00:00", "25:01:01"]
