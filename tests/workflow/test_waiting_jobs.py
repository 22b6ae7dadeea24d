"""Jobs that start long after Snakemake read its configuration."""

import pytest
import yaml

SUBMIT = """#!/bin/sh
# A scheduler whose queue is so long that the user edits the configuration meanwhile.
sed -i 's/max_steps: 20/max_steps: 40/' edited.yaml
sh "$1" >>.snakemake/jobs.log 2>&1 </dev/null
echo 17
"""


def test_jobs_train_what_was_configured_when_snakemake_began(project):
    pytest.importorskip(
        "snakemake_executor_plugin_cluster_generic",
        reason="the extra `generic` is not installed: pip install -e '.[generic]'",
    )
    toy = (project.folder / "config/test/toy.yaml").read_text()
    (project.folder / "edited.yaml").write_text(toy)
    submit = project.folder / "submit.sh"
    submit.write_text(SUBMIT)
    submit.chmod(0o755)
    model = "results/bricks/mipnerf/bricks/model.pt"
    arguments = (
        "--executor",
        "cluster-generic",
        "--cluster-generic-submit-cmd",
        "./submit.sh",
        "--jobs",
        "1",
        "--seconds-between-status-checks",
        "1",
    )
    project.snakemake(*arguments, "--latency-wait", "5", "--configfile", "edited.yaml", "--", model)

    assert "max_steps: 40" in (project.folder / "edited.yaml").read_text()
    recorded = yaml.safe_load((project.folder / model).with_name("config.yaml").read_text())
    assert recorded["train"]["max_steps"] == 20
    # The next command has the new value.
    output = project.snakemake("-n", "-p", "--configfile", "edited.yaml", "--", model).stdout
    assert "train.max_steps=40" in output
