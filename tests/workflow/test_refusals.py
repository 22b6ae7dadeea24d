import pytest
import yaml

BAD = {
    "key": ({"train": {"max_stpes": 5}}, ["train.max_stpes", "did you mean 'max_steps'"]),
    "top level key": ({"sources_": {}}, ["sources_ is an unknown key", "allowed are"]),
    "word for a number": ({"train": {"lr_init": "5e-4"}}, ["train.lr_init is '5e-4'", "write 5.0e-4"]),
    "value": ({"model": {"ray_shape": "sphere"}}, ["model.ray_shape is 'sphere'", "'cone', 'cylinder' or 'point'"]),
    "scene": (
        {"runs": [{"dataset": "multiscale_blender", "scenes": ["legos"], "variants": ["mipnerf"]}]},
        ["runs[0].scenes", "'legos' is unknown", "did you mean 'lego'?"],
    ),
    "dataset": ({"runs": [{"dataset": "brick", "variants": ["mipnerf"]}]}, ["runs[0].dataset", "'bricks'"]),
    "variant": ({"runs": [{"dataset": "bricks", "variants": ["mipnrf"]}]}, ["did you mean 'mipnerf'?"]),
    "no source": (
        {
            "downloads": {"nerf_synthetic": [{"url": "http://localhost/ship.zip", "scenes": ["ship"]}]},
            "runs": [{"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]}],
        },
        [
            "sources.nerf_synthetic is not set, and downloads.nerf_synthetic has no URL for lego",
            "--config 'sources={nerf_synthetic:",
        ],
    ),
    "missing archive": (
        {
            "sources": {"nerf_synthetic": "/nowhere/lego.zip"},
            "runs": [{"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]}],
        },
        ["sources.nerf_synthetic is /nowhere/lego.zip, which does not exist"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_stops_the_dry_run(project, name):
    values, parts = BAD[name]
    (project.folder / "bad.yaml").write_text(yaml.safe_dump(values))
    result = project.snakemake("-n", "--configfile", "bad.yaml", check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    for part in parts:
        assert part in result.stdout
    assert not (project.folder / "results").exists()


def test_a_target_outside_the_configuration_is_named(project):
    result = project.snakemake("-n", "results/bricks/mipnerf_wo_misc/bricks/metrics.csv", check=False)
    assert result.returncode != 0
    assert "bricks/mipnerf_wo_misc/bricks is not a run of this configuration" in result.stdout


def test_a_picture_of_something_that_is_not_run_is_refused(project):
    result = project.snakemake("-n", "results/plots/multiscale_blender_levels.png", check=False)
    assert result.returncode != 0
    assert "no run of this configuration is of multiscale_blender" in result.stdout


def test_a_mistyped_target_is_answered_by_the_nearest_ones_and_the_runs(project):
    result = project.snakemake("-n", "results/bricks/mipnerfx/bricks/metrics.csv", check=False)
    assert result.returncode != 0
    assert "did you mean\n  results/bricks/mipnerf/bricks/metrics.csv" in result.stdout
    assert (
        "The runs of this configuration are\n  bricks/mipnerf/bricks\n  bricks/mipnerf_wo_ipe/bricks" in result.stdout
    )
    assert "MissingRuleException" not in result.stdout
