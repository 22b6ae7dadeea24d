import csv
import math
import os
import subprocess
import sys

import torch
import yaml
from PIL import Image
from report_files import table_files

from mipnerf.datasets.convert import convert_to_multiscale
from mipnerf.report.figures.kinds import FIGURES, SCENE_FIGURES

from .conftest import jobs

RUN = "results/bricks/mipnerf/bricks"
NOTHING = "Nothing to be done"
FORCED = f"snakemake --cores 8 --forcerun train -- {RUN}/metrics.csv"


def test_every_promised_file_is_there(finished_project):
    results = finished_project.folder / "results"
    for name in ("table.md", "table.csv", "plots/bricks_levels.svg", "plots/bricks_levels.png"):
        assert (results / name).stat().st_size > 0
    for name in table_files(["bricks"]):
        assert (results / name).stat().st_size > 0
    for name in ("plots/bricks_history.svg", "plots/bricks_history.png", "plots/bricks_bricks_strip.png"):
        assert (results / name).stat().st_size > 0
    pictures = {path.name.removeprefix("bricks_") for path in (results / "plots").iterdir()}
    # Nothing was published of the bricks, and nothing is swept.
    kinds = {kind: figure for kind, figure in FIGURES.items() if kind not in ("deltas", "sweep", "minutes")}
    scene = {kind: "bricks_" * (kind in SCENE_FIGURES) for kind in kinds}
    assert pictures == {f"{scene[kind]}{kind}.{end}" for kind, figure in kinds.items() for end in figure.endings}
    for variant in ("mipnerf", "mipnerf_wo_ipe"):
        run = results / "bricks" / variant / "bricks"
        for name in ("config.yaml", "model.pt", "history.csv", "metrics.csv", "logs/train.log", "benchmarks/train.tsv"):
            assert (run / name).stat().st_size > 0
        for level in range(4):
            for pictures in ("???.png", "???_depth.png", "???_acc.png"):
                assert len(list((run / f"level_{level}" / "renderings").glob(pictures))) == 2
        with open(run / "metrics.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == 4 * 2 * 3
        assert all(math.isfinite(float(row["value"])) for row in rows)


def test_the_table_shows_scene_variants_and_figures(finished_project):
    table = (finished_project.folder / "results" / "table.md").read_text()
    for part in ("PSNR", "SSIM", "1/8", "Average (PyTorch)", "Average (Jax)", "mipnerf_wo_ipe", "—"):
        assert part in table
    for figure in ("plots/bricks_levels.png", "plots/bricks_history.png", "plots/bricks_bricks_strip.png"):
        assert f"]({figure})" in table


def test_a_second_run_does_nothing(finished_project):
    assert NOTHING in finished_project.toy("-n").stdout


def test_the_configuration_is_recorded(finished_project):
    recorded = yaml.safe_load((finished_project.folder / RUN / "config.yaml").read_text())
    assert recorded["package_version"]
    assert recorded["variant"] == "mipnerf"
    assert recorded["train"]["max_steps"] == 20
    assert recorded["model"]["net_width"] == 16
    assert recorded["model"]["skip_layer"] == 4


def test_an_edited_comment_and_how_jobs_are_run_rerun_nothing(copy_of_finished):
    for name in ("workflow_scripts/train.py", "mipnerf/training/loop.py", "rules/train.smk"):
        path = copy_of_finished.folder / name
        path.write_text(path.read_text() + "\n# A remark.\n")
    changed = ["--config", "operation={print_every: 7, save_every: 3}"]
    assert NOTHING in copy_of_finished.toy("-n", *changed).stdout


def test_a_job_is_told_its_share_of_the_cores_and_how_it_is_run(copy_of_finished):
    """`echo` as the launcher shows what the shell makes of the command."""
    changed = ["--config", "launcher=echo", "operation={print_every: 7, network: plain}"]
    resources = ("--cores", "8", "--latency-wait", "0", "--configfile", "config/test/toy.yaml")
    done = copy_of_finished.snakemake(*resources, *changed, "--forcerun", "train", "--", f"{RUN}/model.pt", check=False)
    line = next(line for line in done.stdout.splitlines() if line.startswith("python "))
    assert "--threads 4/8 " in line
    assert line.endswith(" operation.print_every=7 operation.network=plain")


def test_one_variants_override_retrains_that_variant_alone(finished_project):
    changed = ["--config", "variants={mipnerf_wo_ipe: {train: {seed: 1}}}"]
    output = finished_project.toy("-n", *changed).stdout
    counts = jobs(output)
    assert counts["train"] == 1
    assert counts["evaluate"] == 1
    assert "Training mipnerf_wo_ipe on" in output
    assert "convert_scene" not in counts


def test_more_test_views_evaluate_again_and_train_nothing(finished_project):
    counts = jobs(finished_project.toy("-n", "--config", "data={max_test_views: 1}").stdout)
    assert "train" not in counts
    assert counts["evaluate"] == 2


def test_forced_training_retrains_one_scene_from_scratch(copy_of_finished):
    """By a command of the README."""
    model = copy_of_finished.folder / RUN / "model.pt"
    other = copy_of_finished.folder / "results/bricks/mipnerf_wo_ipe/bricks/model.pt"
    before, old = os.stat(other).st_mtime_ns, torch.load(model, weights_only=True)["parameters"]
    command = FORCED.replace("snakemake", "snakemake --configfile config/test/toy.yaml", 1)
    output = copy_of_finished.run(command).stdout
    assert jobs(output) == {"train": 1, "evaluate": 1}
    assert (model.parent / "logs" / "train.log").read_text().count("step  5/20") == 2
    new = torch.load(model, weights_only=True)["parameters"]
    assert all(torch.equal(new[name], old[name]) for name in old)
    assert os.stat(other).st_mtime_ns == before


def test_a_lost_model_of_a_finished_run_is_not_trained_again(copy_of_finished):
    model = copy_of_finished.folder / RUN / "model.pt"
    old = torch.load(model, weights_only=True)["parameters"]
    model.unlink()
    copy_of_finished.toy("--", str(model.relative_to(copy_of_finished.folder)))
    assert (model.parent / "logs" / "train.log").read_text().count("step  5/20") == 1
    new = torch.load(model, weights_only=True)["parameters"]
    assert all(torch.equal(new[name], old[name]) for name in old)


def test_a_broken_run_leaves_the_others(copy_of_finished):
    diverging = "{lr_init: 1.0e+30, lr_final: 1.0e+30, lr_delay_steps: 0}"
    settings = f"variants={{mipnerf: {{train: {diverging}}}, mipnerf_wo_ipe: {{train: {{seed: 2}}}}}}"
    result = copy_of_finished.toy("--keep-going", "--config", settings, "--", "metrics", check=False)
    assert result.returncode != 0
    assert "TrainingDiverged: bricks/mipnerf/bricks: the loss is not finite" in result.stdout
    assert "Traceback" not in result.stdout
    assert (copy_of_finished.folder / "results/bricks/mipnerf_wo_ipe/bricks/metrics.csv").exists()
    assert not (copy_of_finished.folder / RUN / "model.pt").exists()


def test_status_lists_the_runs(finished_project):
    command = [sys.executable, "-m", "mipnerf", "status"]
    text = subprocess.run(
        command,
        cwd=finished_project.folder,
        env=finished_project.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "bricks/mipnerf/bricks" in text
    assert "20/20" in text


def test_new_pixels_train_again_and_new_times_alone_do_not(copy_of_finished):
    data = copy_of_finished.folder / "data"
    source, scene = data / "sources" / "bricks" / "bricks", data / "bricks" / "bricks"
    metadata = (scene / "metadata.json").read_bytes()
    convert_to_multiscale(source, scene)
    assert NOTHING in copy_of_finished.toy("-n").stdout
    image = source / "train" / "r_0.png"
    Image.open(image).rotate(180).save(image)
    convert_to_multiscale(source, scene)
    assert (scene / "metadata.json").read_bytes() == metadata
    counts = jobs(copy_of_finished.toy("-n").stdout)
    assert counts["train"] == 2
    assert "convert_scene" not in counts
