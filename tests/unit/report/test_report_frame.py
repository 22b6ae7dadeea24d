"""metrics.csv, history.csv and run folders: what is accepted, what is refused, and that values survive."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mipnerf.errors import DataError
from mipnerf.report.frame import (
    COLUMNS,
    format_value,
    lpips_reason,
    read_history,
    read_metrics,
    read_run,
    read_runs,
    write_metrics,
)

HEADER = ",".join(COLUMNS)
ROW = "bricks,mipnerf,wall,0,0,psnr,30.5"


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_values_round_trip_exactly(tmp_path):
    values = [30.1, 1 / 3, 1e-17, 123456789.123456789, float(np.nextafter(1, 2))]
    frame = pd.DataFrame([("b", "m", "s", 0, i, "psnr", v) for i, v in enumerate(values)], columns=COLUMNS)
    write_metrics(tmp_path / "metrics.csv", frame)
    assert list(read_metrics([tmp_path / "metrics.csv"])["value"]) == values
    assert (tmp_path / "metrics.csv").read_text().startswith(HEADER + "\n")


def test_several_files_are_read_in_order(tmp_path):
    first = write(tmp_path / "1.csv", HEADER, ROW)
    second = write(tmp_path / "2.csv", HEADER, ROW.replace(",0,0,", ",1,0,"))
    assert list(read_metrics([second, first])["level"]) == [1, 0]


@pytest.mark.parametrize(
    ("row", "line", "message"),
    [
        ("bricks,mipnerf,wall,0,0,psnr", 3, "6 cells"),
        (ROW + ",1", 3, "8 cells"),
        ("bricks,mipnerf,wall,0.0,1,psnr,30.5", 3, "level is '0.0'"),
        ("bricks,mipnerf,wall,-1,1,psnr,30.5", 3, "level is '-1'"),
        ("bricks,mipnerf,wall,9,1,psnr,30.5", 3, "level 9 is unknown"),
        ("bricks,mipnerf,wall,0,x,psnr,30.5", 3, "view is 'x'"),
        ("bricks,,wall,0,1,psnr,30.5", 3, "variant is empty"),
        ("bricks,mipnerf,wall,0,1,pnsr,30.5", 3, "'pnsr' is unknown; allowed are psnr, ssim"),
        ("bricks,mipnerf,wall,0,1,psnr,nan", 3, "value is 'nan'"),
        ("bricks,mipnerf,wall,0,1,psnr,inf", 3, "value is 'inf'"),
        ("bricks,mipnerf,wall,0,1,psnr,", 3, "value is ''"),
        (ROW.replace("30.5", "31.5"), 3, "repeats bricks, mipnerf, wall, 0, 0, psnr"),
    ],
)
def test_bad_row_is_refused_with_file_and_line(tmp_path, row, line, message):
    path = write(tmp_path / "metrics.csv", HEADER, ROW, row)
    with pytest.raises(DataError) as error:
        read_metrics([path])
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)


def test_same_value_in_two_files_is_refused_with_both_places(tmp_path):
    first, second = (write(tmp_path / name, HEADER, ROW) for name in ("1.csv", "2.csv"))
    with pytest.raises(DataError, match=r"2\.csv:2: repeats .*1\.csv:2"):
        read_metrics([first, second])


@pytest.mark.parametrize("header", ["", "dataset,variant,scene,level,view,value,metric", HEADER + ",extra"])
def test_other_header_is_refused(tmp_path, header):
    with pytest.raises(DataError, match=r":1: the header is"):
        read_metrics([write(tmp_path / "metrics.csv", header, ROW)])


def test_empty_or_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no rows"):
        read_metrics([write(tmp_path / "metrics.csv", HEADER)])
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics([tmp_path / "absent.csv"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_writing_what_could_not_be_read_leaves_the_old_file(tmp_path, value):
    path = write(tmp_path / "metrics.csv", HEADER, ROW)
    before = path.read_text()
    with pytest.raises(DataError):
        write_metrics(path, pd.DataFrame([("b", "m", "s", 0, 0, "psnr", value)], columns=COLUMNS))
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_history_is_read_as_numbers(tmp_path):
    path = write(
        tmp_path / "h.csv", "step,loss,psnr,lr,rays_per_s,seconds", "1,0.1,10,5e-4,900,0.5", "100,.01,20,4e-4,950,9"
    )
    history = read_history(path)
    assert history["step"].tolist() == [1, 100]
    assert history["lr"].tolist() == [5e-4, 4e-4]


def test_history_has_the_losses_of_the_levels_where_they_were_logged(tmp_path):
    header = "step,loss,psnr,lr,rays_per_s,seconds,loss_0,loss_1"
    history = read_history(write(tmp_path / "h.csv", header, "1,.1,10,1,1,1,,", "2,.1,10,1,1,1,.3,.2"))
    assert history["loss_0"].isna().tolist() == [True, False]
    assert history["loss_1"].iloc[1] == 0.2
    with pytest.raises(DataError, match=r"h\.csv:2: loss_1 is 'x'"):
        read_history(write(tmp_path / "h.csv", header, "1,.1,10,1,1,1,.3,x"))
    with pytest.raises(DataError, match=r"h\.csv:1: the header is"):
        read_history(write(tmp_path / "h.csv", header.replace("loss_0", "loss_2"), "1,.1,10,1,1,1,.3,.2"))


def test_history_of_an_imported_model_is_empty(tmp_path):
    assert read_history(write(tmp_path / "h.csv", "step,loss,psnr,lr,rays_per_s,seconds")).empty
    with pytest.raises(DataError, match=r"h\.csv:1: the header is ''"):
        read_history(write(tmp_path / "h.csv"))


def test_average_error_is_no_metric_of_a_view(tmp_path):
    with pytest.raises(DataError, match="metric 'avg_error' is unknown"):
        read_metrics([write(tmp_path / "metrics.csv", HEADER, ROW.replace("psnr", "avg_error"))])


def test_record_of_the_weights_is_read(tmp_path):
    path = tmp_path / "weights.json"
    assert lpips_reason(write(path, '{"available": true, "path": "vgg.pth", "sha256": "397923af"}')) is None
    assert lpips_reason(write(path, '{"available": false, "reason": "no network"}')) == "no network"
    for text in ("", "[]", "{}"):
        with pytest.raises(DataError, match=r"weights\.json: is no record"):
            lpips_reason(write(path, text))


@pytest.mark.parametrize(
    ("row", "message"), [("100,.01,20,4e-4,950,9", "does not come after"), ("200,nan,20,4e-4,950,9", "loss is 'nan'")]
)
def test_bad_history_is_refused(tmp_path, row, message):
    lines = ["step,loss,psnr,lr,rays_per_s,seconds", "100,0.1,10,5e-4,900,0.5", row]
    with pytest.raises(DataError, match=rf"h\.csv:3: .*{message}"):
        read_history(write(tmp_path / "h.csv", *lines))


def test_run_refuses_metrics_of_another_run(make_run):
    folder, other = make_run(), make_run(variant="mipnerf_wo_ipe")
    (folder / "metrics.csv").write_text((other / "metrics.csv").read_text())
    with pytest.raises(DataError, match=r"holds variant 'mipnerf_wo_ipe', but config\.yaml"):
        read_run(folder)


def test_missing_setting_is_named(make_run):
    folder = make_run()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["record"]["device"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(DataError, match=r"config\.yaml: lacks record\.device"):
        read_run(folder).setting("record", "device")
    (folder / "config.yaml").write_text("[")
    with pytest.raises(DataError, match="no valid YAML"):
        read_run(folder)


def test_the_same_run_twice_is_refused(make_run):
    folder = make_run()
    with pytest.raises(DataError, match="is the same run"):
        read_runs([folder, folder])


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("psnr", 34.5095, "34.51"), ("ssim", 0.97252, "0.9725"), ("psnr", None, "—"), ("ssim", math.nan, "—")],
)
def test_rounding(metric, value, text):
    assert format_value(metric, value) == text


@pytest.mark.slow
def test_the_report_does_without_torch():
    modules = "mipnerf.report.tables.short, mipnerf.report.figures.plots, mipnerf.report.figures.strips"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
