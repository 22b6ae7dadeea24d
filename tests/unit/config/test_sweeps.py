"""Sweeps: which runs they make, what these are called, and what cannot be swept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.config import DataConfig, ModelConfig, RunConfig, SuiteConfig, TrainConfig, parse_config
from mipnerf.config.runs import named_run, network_of, resolve_runs, run_from_settings
from mipnerf.config.sweeps import SWEPT, split_sweep, sweep_name, swept_values, text_of
from mipnerf.errors import ConfigError


def suite_of(sweeps: dict, entry: dict | None = None, **values: object) -> SuiteConfig:
    variants = {
        "mipnerf": {},
        "narrow": {"model": {"net_width": 32}},
        "super": {"model_of": "mipnerf", "data": {"supersample": True}},
    }
    runs = [{"dataset": "bricks", "variants": ["mipnerf"], "sweeps": sweeps} | (entry or {})]
    datasets = {"bricks": {"source": "bricks", "scenes": ["bricks"]}}
    return parse_config({"datasets": datasets, "variants": variants, "runs": runs} | values)


def variants_of(suite: SuiteConfig) -> dict[str, RunConfig]:
    return {run.variant: run for run in resolve_runs(suite).values()}


def test_a_grid_is_every_value_with_all_others():
    runs = variants_of(suite_of({"train": {"lr_init": [1e-3, 2.0], "batch_size": [512, 64]}}))
    assert list(runs) == [
        "mipnerf-batch_size=512-lr_init=0.001",
        "mipnerf-batch_size=512-lr_init=2",
        "mipnerf-batch_size=64-lr_init=0.001",
        "mipnerf-batch_size=64-lr_init=2",
    ]
    assert [(run.train.batch_size, run.train.lr_init) for run in runs.values()] == [
        (512, 1e-3),
        (512, 2.0),
        (64, 1e-3),
        (64, 2.0),
    ]


def test_a_list_takes_the_first_of_all_then_the_second():
    sweeps = {"combine": "list", "train": {"lr_init": [1e-3, 1e-6]}, "model": {"ray_shape": ["cone", "cylinder"]}}
    runs = variants_of(suite_of(sweeps))
    assert list(runs) == ["mipnerf-ray_shape=cone-lr_init=0.001", "mipnerf-ray_shape=cylinder-lr_init=1e-06"]
    assert [run.model.ray_shape for run in runs.values()] == ["cone", "cylinder"]


def test_the_values_of_a_grid_may_differ_in_number():
    assert len(variants_of(suite_of({"train": {"lr_init": [1e-3, 1e-4, 1e-5], "batch_size": [1, 2]}}))) == 6


def test_a_list_may_name_a_value_again_beside_another():
    sweeps = {"combine": "list", "train": {"lr_init": [1e-3, 1e-3]}, "model": {"ray_shape": ["cone", "cylinder"]}}
    assert len(variants_of(suite_of(sweeps))) == 2


def test_each_seed_and_each_variant_is_swept():
    entry = {"variants": ["mipnerf", "super"], "seeds": [3, 5]}
    suite = suite_of({"data": {"near": [None, 1.5]}}, entry)
    runs = variants_of(suite)
    assert list(runs)[:4] == [
        "mipnerf-near=null",
        "mipnerf-near=null_seed5",
        "mipnerf-near=1.5",
        "mipnerf-near=1.5_seed5",
    ]
    assert network_of(suite, "super-near=1.5_seed5") == "mipnerf-near=1.5_seed5"
    assert runs["mipnerf-near=1.5_seed5"].train.seed == 5
    assert named_run(suite, "bricks", "super-near=1.5_seed5", "bricks") == runs["super-near=1.5_seed5"]
    assert named_run(suite, "bricks", "super-near=2.5", "bricks") is None


def test_a_swept_run_comes_back_from_its_arguments():
    for run in variants_of(suite_of({"train": {"lr_init": [1e-3]}, "model": {"density_bias": [-1.5]}})).values():
        assert run_from_settings("bricks", run.variant, "bricks", run.settings()) == run


def test_a_swept_value_wins_over_the_entry_that_it_is_in():
    runs = variants_of(suite_of({"train": {"lr_init": [1e-3]}}, {"train": {"lr_init": 1e-4, "max_steps": 7}}))
    assert [(run.train.lr_init, run.train.max_steps) for run in runs.values()] == [(1e-3, 7)]


@pytest.mark.parametrize(
    ("sweeps", "changes", "message"),
    [
        ({"train": {"lr_intt": [1.0]}}, {}, r"sweeps.train.lr_intt is an unknown key \(did you mean 'lr_init'\?\)"),
        ({"trian": {}}, {}, r"sweeps.trian is an unknown key \(did you mean 'train'\?\)"),
        ({"train": {"lr_init": []}}, {}, r"runs.0.sweeps.train.lr_init is \[\]: .*at least 1"),
        ({"train": {"lr_init": 1e-3}}, {}, r"sweeps.train.lr_init is 0.001: .*list"),
        ({"train": {"lr_init": [1e-3, "5e-4"]}}, {}, r"lr_init.1 is '5e-4': .*number.*5.0e-4"),
        ({"train": {"lr_init": [1e-3, -1]}}, {}, r"lr_init.1 is -1: .*greater than 0"),
        ({"model": {"ray_shape": ["cube"]}}, {}, r"ray_shape.0 is 'cube': .*'cylinder'"),
        ({"train": {"lr_init": [1.0, 2.0, 1]}}, {}, r"runs.0.sweeps: train.lr_init names 1 twice"),
        (
            {"combine": "list", "train": {"lr_init": [1.0, 2.0, 1]}, "model": {"net_width": [8, 8, 8]}},
            {},
            r"sweeps: model.net_width with train.lr_init names 8 with 1 twice",
        ),
        ({}, {}, r"runs.0.sweeps: no values are given"),
        ({"combine": "zip", "train": {"lr_init": [1.0]}}, {}, r"combine is 'zip': .*'grid' or 'list'"),
        (
            {"combine": "list", "train": {"lr_init": [1.0, 2.0], "batch_size": [1]}},
            {},
            r"differ in length: train.batch_size has 1, train.lr_init has 2; make them equally long, or set combine",
        ),
        ({"train": {"seed": [1, 2]}}, {}, r"train.seed cannot be swept: give `seeds`"),
        ({"data": {"max_test_views": [1, 2]}}, {}, r"data.max_test_views cannot be swept: .*model_of"),
        ({"data": {"supersample": [True]}}, {}, r"data.supersample cannot be swept"),
        ({"data": {"layout": ["llff"]}}, {}, r"data.layout cannot be swept: it is the dataset's"),
        ({"data": {"unbounded": [True]}}, {}, r"data.unbounded cannot be swept: it follows from model.contraction"),
        (
            {"train": {"lr_init": [1.0]}},
            {"train": {"lr_init": 1.0}},
            r"runs\[0\].sweeps: train.lr_init is swept, but the top level gives it one value; remove one",
        ),
        (
            {"model": {"net_width": [8]}},
            {"entry": {"variants": ["narrow"]}},
            r"model.net_width is swept, but variants.narrow gives it one value",
        ),
        (
            {"model": {"min_deg_point": [0, 20]}},
            {},
            r"bricks/mipnerf-min_deg_point=20/bricks.*max_deg_point 16 must exceed min_deg_point 20",
        ),
        (
            {"model": {key: [7] for key in ("num_samples", "net_depth", "net_width", "net_width_condition", "deg_view")}
             | {"max_deg_point": [7], "density_activation": ["softplus"], "rgb_activation": ["softplus"],
                "net_depth_condition": [7], "net_activation": ["softplus"]}},
            {},
            r"would grow by \d+ letters, of at most 150; sweep fewer keys",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named_once(sweeps, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        resolve_runs(suite_of(sweeps, **changes))
    assert str(error.value).count("\n") <= 1


def test_two_entries_must_not_mean_different_runs_by_one_name():
    entry = {"dataset": "bricks", "variants": ["mipnerf"], "sweeps": {"train": {"lr_init": [1e-3]}}}
    runs = [entry, entry | {"model": {"net_width": 8}}]
    with pytest.raises(ConfigError, match=r"bricks/mipnerf-lr_init=0.001/bricks with other values"):
        resolve_runs(suite_of({}, runs=runs))


def test_a_dataset_cannot_take_the_name_of_the_table():
    bricks = {"source": "bricks", "scenes": ["bricks"]}
    with pytest.raises(ConfigError, match=r"tables/bricks_sweep.md is another table"):
        suite_of({"train": {"lr_init": [1.0]}}, datasets={"bricks": bricks, "bricks_sweep": bricks})


def test_no_key_is_in_two_sections():
    """Names have no sections."""
    keys = [key for section in (ModelConfig, TrainConfig, DataConfig) for key in section.model_fields]
    assert len(keys) == len(set(keys))


@given(
    st.dictionaries(
        st.sampled_from(["lr_init", "density_bias", "near", "ray_shape"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["cone", "all_images"]),
        min_size=1,
    )
)
def test_names_tell_the_values_and_are_safe_in_paths(values):
    name = sweep_name({"train": values})
    assert re.fullmatch(SWEPT, name)
    assert split_sweep(f"mipnerf{name}") == ("mipnerf", name)
    assert swept_values(f"mipnerf{name}") == values
    assert [text_of(value) for value in swept_values(name).values()] == [text_of(value) for value in values.values()]
