from dataclasses import replace

from mipnerf.training.history import (
    HistoryRow,
    append_row,
    eta_seconds,
    format_duration,
    format_row,
    last_row,
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


def test_the_losses_of_any_number_of_levels_come_back(tmp_path):
    path = tmp_path / "history.csv"
    rows = [replace(row(step), losses=(0.1 * step, 0.2, 1 / 3)) for step in (1, 2)]
    for one in rows:
        append_row(path, one)
    assert path.read_text().splitlines()[0] == "step,loss,psnr,lr,rays_per_s,seconds,loss_0,loss_1,loss_2"
    assert read_rows(path) == rows
    assert last_row(path) == rows[-1]
    write_rows(tmp_path / "copy.csv", rows)
    assert (tmp_path / "copy.csv").read_text() == path.read_text()


def test_a_history_of_the_first_version_goes_on_with_losses(tmp_path):
    path = tmp_path / "history.csv"
    lines = ["step,loss,psnr,lr,rays_per_s,seconds", "10,0.1,20.0,0.001,500.0,1.0", "20,0.1,20.0,0.001,500.0,2.0", ""]
    path.write_bytes("\r\n".join(lines).encode())
    first, second = read_rows(path)
    assert first.losses == ()
    assert last_row(path) == second
    truncate(path, 15, num_levels=2)
    added = replace(row(20), losses=(0.3, 0.1))
    append_row(path, added)
    assert read_rows(path) == [first, added]
    assert {line.count(",") for line in path.read_text().splitlines()} == {7}


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
