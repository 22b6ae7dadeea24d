"""The runs of the configuration files: which they are, what each variant changes, and how they shrink."""

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.config import ModelConfig, RunConfig, TrainConfig, parse_config
from mipnerf.config.runs import (
    linearly_scaled,
    named_run,
    network_of,
    resolve_runs,
    run_from_settings,
    scaled,
    scene_folder,
    shrunk_batch,
)
from mipnerf.errors import ConfigError
from mipnerf.network.model import MipNerf

CONFIG = Path(__file__).parents[3] / "config"
PAPER_TABLE_1 = [
    "nerf",
    "nerf_area",
    "nerf_area_center",
    "nerf_area_center_misc",
    "mipnerf",
    "mipnerf_wo_misc",
    "mipnerf_wo_single_mlp",
    "mipnerf_wo_area_loss",
    "mipnerf_wo_ipe",
]


def suite_values(**changes) -> dict:
    """What the workflow reads with --configfile config/paper.yaml, and `changes` on top."""
    values = {}
    for name in ("datasets", "variants", "paper"):
        values |= yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    return values | changes


@pytest.fixture(scope="module")
def paper() -> dict[str, RunConfig]:
    return resolve_runs(parse_config(suite_values()))


def test_the_paper_is_all_of_its_tables_and_llff(paper):
    names = {(run.dataset, run.variant) for run in paper.values()}
    assert {("multiscale_blender", variant) for variant in PAPER_TABLE_1} <= names
    assert {("multiscale_blender", variant) for variant in ("ss_mipnerf", "ss_nerf_area_center_misc")} <= names
    counts = {dataset: sum(run.dataset == dataset for run in paper.values()) for dataset, _ in names}
    assert counts == {"multiscale_blender": 88, "blender": 56, "llff": 16, "multiscale_llff": 16}


def test_the_paper_runs_with_its_schedule(paper):
    for run in paper.values():
        train = run.train
        assert (train.max_steps, train.batch_size, train.lr_init, train.lr_final) == (1_000_000, 4096, 5e-4, 5e-6)


@pytest.mark.parametrize(("variant", "parameters"), [("mipnerf", 612_740), ("nerf", 1_191_688)])
def test_the_networks_have_the_parameters_of_the_paper(paper, variant, parameters):
    """612K and 1,191K in Table 1."""
    with torch.device("meta"):
        model = MipNerf(paper[f"multiscale_blender/{variant}/lego"].model)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_two_networks_of_mip_nerf_are_twice_one(paper):
    """The paper gives 1,191K, which is NeRF's count, for this row too."""
    with torch.device("meta"):
        model = MipNerf(paper["multiscale_blender/mipnerf_wo_single_mlp/lego"].model)
    assert sum(p.numel() for p in model.parameters()) == 2 * 612_740


@pytest.mark.parametrize(
    ("first", "second", "differing"),
    [
        ("nerf", "nerf_area", {"train.disable_multiscale_loss"}),
        ("nerf_area", "nerf_area_center", {"data.use_pixel_centers"}),
        (
            "nerf_area_center",
            "nerf_area_center_misc",
            {"model.density_activation", "model.density_bias", "model.rgb_padding"},
        ),
        ("nerf_area_center_misc", "ss_nerf_area_center_misc", {"data.train_levels", "data.supersample"}),
        ("mipnerf", "mipnerf_wo_misc", {"model.density_activation", "model.density_bias", "model.rgb_padding"}),
        ("mipnerf", "mipnerf_wo_single_mlp", {"model.single_mlp"}),
        ("mipnerf", "mipnerf_wo_area_loss", {"train.disable_multiscale_loss"}),
        ("mipnerf", "mipnerf_wo_ipe", {"model.disable_integration"}),
        ("mipnerf", "ss_mipnerf", {"data.supersample"}),
    ],
)
def test_rows_of_the_tables_differ_by_what_their_names_say(paper, first, second, differing):
    one, other = (paper[f"multiscale_blender/{variant}/lego"] for variant in (first, second))
    assert {setting.partition("=")[0] for setting in set(one.settings()) ^ set(other.settings())} == differing


def test_a_variant_that_only_evaluates_is_the_training_of_another(paper):
    one, other = (paper[f"multiscale_blender/{variant}/lego"] for variant in ("mipnerf", "ss_mipnerf"))
    assert one.training_settings() == other.training_settings()
    assert other.data.supersample


def test_a_variant_that_only_evaluates_cannot_change_the_training():
    variants = suite_values()["variants"] | {"odd": {"model_of": "mipnerf", "model": {"net_width": 8}}}
    with pytest.raises(ConfigError, match=r"variants.odd: model.net_width would change the training.*mipnerf"):
        parse_config(suite_values(variants=variants))


@pytest.mark.parametrize(("model_of", "message"), [("mipnarf", "mipnerf"), ("ss_mipnerf", "no networks of its own")])
def test_the_network_of_another_variant_has_to_be_there(model_of, message):
    variants = suite_values()["variants"] | {"odd": {"model_of": model_of}}
    runs = [{"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["odd"]}]
    with pytest.raises(ConfigError, match=message):
        resolve_runs(parse_config(suite_values(variants=variants, runs=runs)))


def test_further_seeds_are_variants_of_their_own():
    entry = {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["ss_mipnerf", "mipnerf"]}
    suite = parse_config(suite_values(runs=[entry | {"seeds": [4, 0]}], train={"seed": 7}))
    runs = {run.variant: run for run in resolve_runs(suite).values()}
    assert list(runs) == ["ss_mipnerf", "ss_mipnerf_seed0", "mipnerf", "mipnerf_seed0"]
    assert [run.train.seed for run in runs.values()] == [4, 0, 4, 0]
    assert network_of(suite, "ss_mipnerf_seed0") == "mipnerf_seed0"
    assert network_of(suite, "mipnerf_seed0") is None
    same = [run.model_copy(update={"variant": "mipnerf", "train": TrainConfig()}) for run in runs.values()]
    assert same[2] == same[3]
    # What asks for no seeds, or for the default one, is the run that it was.
    alone = [resolve_runs(parse_config(suite_values(runs=[entry | seeds]))) for seeds in ({}, {"seeds": [0]})]
    assert alone[0] == alone[1]
    assert named_run(suite, "multiscale_blender", "mipnerf_seed3", "lego").train.seed == 3
    assert named_run(suite, "multiscale_blender", "mipnerv_seed3", "lego") is None


def test_the_whole_scale_changes_nothing(paper):
    for run in paper.values():
        assert scaled(run, 1.0) is run


def test_a_256th_is_the_run_that_the_documentation_names(paper):
    run = scaled(paper["multiscale_blender/mipnerf/lego"], 1 / 256)
    assert (run.train.max_steps, run.train.batch_size, run.train.lr_init) == (3906, 256, pytest.approx(8e-3))
    assert (run.model.net_width, run.model.num_samples, run.data.factor) == (64, 32, 2)


def test_a_learning_rate_that_is_high_already_does_not_grow():
    run = RunConfig(dataset="d", variant="v", scene="s", levels=1, train={"lr_init": 1e-2, "lr_final": 5e-4})
    assert (scaled(run, 1e-3).train.lr_init, scaled(run, 1e-3).train.lr_final) == (1e-2, 5e-4)


def test_the_network_of_another_variant_has_to_be_trained_as_it_is_evaluated():
    runs = [
        {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]},
        {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["ss_mipnerf"], "model": {"net_width": 32}},
    ]
    with pytest.raises(ConfigError, match=r"configured otherwise: model.net_width=32"):
        resolve_runs(parse_config(suite_values(runs=runs)))
    with pytest.raises(ConfigError, match=r"add mipnerf to the variants"):
        resolve_runs(parse_config(suite_values(runs=runs[1:])))


@given(st.floats(1e-7, 1), st.floats(1e-7, 1), st.sampled_from(["mipnerf", "nerf", "mipnerf_wo_single_mlp"]))
def test_less_scale_is_never_more_work(paper, first, second, variant):
    run = paper[f"multiscale_blender/{variant}/lego"]
    small, large = (scaled(run, scale) for scale in sorted((first, second)))
    for section, key in [
        ("train", "max_steps"),
        ("train", "batch_size"),
        ("model", "net_width"),
        ("model", "num_samples"),
        ("model", "num_fine_samples"),
    ]:
        values = [getattr(getattr(of, section), key) for of in (small, large, run)]
        assert values == sorted(values)
    assert small.data.factor >= large.data.factor >= run.data.factor
    assert run.train.lr_init <= large.train.lr_init <= small.train.lr_init <= 1e-2 + 1e-12


def test_what_is_small_already_does_not_grow():
    run = RunConfig(
        dataset="d",
        variant="v",
        scene="s",
        levels=1,
        model={"net_width": 4, "num_samples": 2},
        train={"max_steps": 1, "batch_size": 3, "lr_delay_steps": 0},
    )
    small = scaled(run, 1e-6)
    assert (small.model.net_width, small.model.num_samples) == (4, 2)
    assert (small.train.max_steps, small.train.batch_size, small.train.lr_delay_steps) == (1, 3, 0)


@pytest.mark.parametrize(
    "model",
    [{"ray_shape": "point"}, {"num_fine_samples": 8}, {"ray_shape": "point", "num_fine_samples": 8, "num_samples": 3}],
    ids=str,
)
def test_points_and_volumes_are_not_mixed(model):
    with pytest.raises(ValueError, match="point"):
        ModelConfig(**model)


def test_linear_scaling_trades_steps_for_learning_rate():
    """Four times smaller batches: four times the steps, at a quarter of the rate."""
    run = run_from_settings("blender", "mipnerf", "lego", ["train.batch_size=1024", "train.linear_scaling=true"])
    assert (run.train.max_steps, run.train.lr_delay_steps) == (4_000_000, 10_000)
    assert (run.train.lr_init, run.train.lr_final) == pytest.approx((1.25e-4, 1.25e-6))
    assert linearly_scaled(run) == run
    assert shrunk_batch(run) is None


def test_linear_scaling_reaches_the_runs_of_the_configuration():
    values = suite_values(train={"batch_size": 8192, "linear_scaling": True})
    for run in resolve_runs(parse_config(values)).values():
        assert (run.train.max_steps, run.train.lr_init, run.train.linear_scaling) == (500_000, 1e-3, False)


@pytest.mark.parametrize(
    ("settings", "is_warned"),
    [
        (["train.batch_size=1024"], True),
        (["train.batch_size=1024", "train.max_steps=4000000"], False),
        (["train.batch_size=8192"], False),
        ([], False),
    ],
)
def test_a_batch_that_alone_is_made_smaller_is_warned_about(settings, is_warned):
    warning = shrunk_batch(run_from_settings("blender", "mipnerf", "lego", settings))
    assert ("linear_scaling: true" in (warning or "")) == is_warned


def photos(**changes) -> dict:
    """A configuration of one capture without cameras."""
    kind = {"source": "mine", "layout": "photos", "scenes": ["desk"], "levels": 2, "data": {"frames": 40}}
    runs = [{"dataset": "phone", "variants": ["mipnerf", "other"]}]
    return {"datasets": {"phone": kind}, "variants": {"mipnerf": {}, "other": {}}, "runs": runs} | changes


def test_cameras_that_are_found_are_read_as_those_of_colmap_and_are_no_matter_of_training():
    suite = parse_config(photos())
    run = resolve_runs(suite)["phone/mipnerf/desk"]
    assert (run.data.layout, run.data.frames) == ("colmap", 40)
    assert "data.frames=40" in run.settings()
    assert run.training_settings() == ["data.layout=colmap"]
    assert scene_folder(suite, "phone", "desk") == "data/phone/desk"


def test_runs_of_a_scene_have_the_same_cameras():
    suite = parse_config(photos(variants={"mipnerf": {}, "other": {"data": {"camera_model": "PINHOLE"}}}))
    with pytest.raises(ConfigError, match=r"phone/other/desk has data.camera_model PINHOLE.*set it for the dataset"):
        resolve_runs(suite)


def test_details_are_of_scenes_that_there_are():
    crop = {"view": 2, "x": 24, "y": 32, "size": 64}
    suite = parse_config(suite_values(crops={"blender/lego": crop}))
    assert resolve_runs(suite).keys() == resolve_runs(parse_config(suite_values())).keys()
    with pytest.raises(ConfigError, match=r"crops: 'blender/leg' is unknown.*did you mean 'blender/lego'"):
        resolve_runs(parse_config(suite_values(crops={"blender/leg": crop})))
    for wrong in (crop | {"size": 0}, crop | {"hight": 3}, crop | {"x": 1.5}):
        with pytest.raises(ConfigError, match=r"crops\.blender/lego"):
            parse_config(suite_values(crops={"blender/lego": wrong}))


def test_later_minutes_take_the_place_of_steps_and_the_other_way_round():
    entry = {"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"], "train": {"max_steps": 7}}
    (run,) = resolve_runs(parse_config(suite_values(runs=[entry], train={"minutes": 2.5}))).values()
    assert run.training_settings() == ["train.minutes=2.5"]
    entry["train"] = {"minutes": 2.5}
    (run,) = resolve_runs(parse_config(suite_values(runs=[entry], train={"max_steps": 7}))).values()
    assert run.training_settings() == ["train.max_steps=7"]
    entry["train"] = {"minutes": 2.5, "max_steps": 7}
    with pytest.raises(ConfigError, match=r"multiscale_blender/mipnerf/lego: train.max_steps 7 and train.minutes 2.5"):
        resolve_runs(parse_config(suite_values(runs=[entry])))
