import contextlib
import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.config import (
    DataConfig,
    ModelConfig,
    OperationConfig,
    TrainConfig,
    parse_config,
)
from mipnerf.config.runs import operation_from_settings, resolve_runs, retyped, run_from_settings
from mipnerf.config.schema import json_schema
from mipnerf.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "config"
BASE = {
    "datasets": {
        "bricks": {"source": "bricks", "scenes": ["bricks"]},
        "blender": {"source": "archive", "scenes": ["lego", "ship"], "levels": 2, "data": {"near": 2.0}},
    },
    "variants": {"mipnerf": {}, "wo_ipe": {"model": {"disable_integration": True}}},
    "runs": [{"dataset": "bricks", "variants": ["mipnerf", "wo_ipe"], "model": {"net_width": 64}}],
}


def changed(*path_and_value) -> dict:
    """BASE with one value put at a path."""
    values = copy.deepcopy(BASE)
    *path, key, value = path_and_value
    node = values
    for part in path:
        node = node[part] if isinstance(part, int) else node.setdefault(part, {})
    node[key] = value
    return values


def resolved(values: dict) -> dict:
    return resolve_runs(parse_config(values))


def test_defaults_are_those_of_the_reference():
    model, train = ModelConfig(), TrainConfig()
    assert (model.num_samples, model.num_levels, model.resample_padding) == (128, 2, 0.01)
    assert (model.min_deg_point, model.max_deg_point, model.deg_view) == (0, 16, 4)
    assert (model.net_depth, model.net_width, model.skip_layer) == (8, 256, 4)
    assert (model.net_depth_condition, model.net_width_condition) == (1, 128)
    assert (model.density_activation, model.density_bias, model.density_noise) == ("softplus", -1.0, 0.0)
    assert (model.rgb_activation, model.rgb_padding, model.net_activation) == ("sigmoid", 0.001, "relu")
    assert (model.ray_shape, model.lindisp, model.stop_level_grad) == ("cone", False, True)
    assert (train.batch_size, train.max_steps, train.coarse_loss_mult) == (4096, 1_000_000, 0.1)
    assert (train.lr_init, train.lr_final, train.lr_delay_steps, train.lr_delay_mult) == (5e-4, 5e-6, 2500, 0.01)
    assert (train.grad_max_norm, train.grad_max_val, train.weight_decay_mult) == (0, 0, 0)
    assert DataConfig().white_bkgd is True
    assert DataConfig().batching == "all_images"


def test_every_variant_runs_on_every_scene():
    assert list(resolved(BASE)) == ["bricks/mipnerf/bricks", "bricks/wo_ipe/bricks"]
    runs = resolved(changed("runs", [{"dataset": "blender", "variants": ["mipnerf"]}]))
    assert list(runs) == ["blender/mipnerf/lego", "blender/mipnerf/ship"]
    assert all(run.levels == 2 and run.data.near == 2.0 for run in runs.values())


def test_the_layout_of_a_capture_reaches_its_jobs_and_leaves_other_runs_as_they_were():
    values = changed("runs", [{"dataset": "blender", "variants": ["mipnerf"], "scenes": ["lego"]}])
    for layout, settings in {
        "transforms": ["data.layout=transforms"],
        "colmap": ["data.layout=colmap"],
        "llff": [],
    }.items():
        values["datasets"]["blender"]["layout"] = layout
        (run,) = resolved(values).values()
        assert [setting for setting in run.settings() if "layout" in setting] == settings
        assert run_from_settings("blender", "mipnerf", "lego", run.settings(), 2) == run


def test_data_know_of_a_contraction_and_other_runs_are_as_they_were():
    plain, contracted = (
        resolved(changed("runs", 0, "model", {"contraction": name}))["bricks/mipnerf/bricks"]
        for name in ("none", "mip360")
    )
    assert plain == resolved(changed("runs", 0, "model", {}))["bricks/mipnerf/bricks"]
    assert (plain.settings(), plain.fingerprint("data")) == ([], "f7ffec0be2046c51")
    assert "contraction" not in str(plain.model_dump())
    assert "unbounded" not in str(plain.model_dump())
    assert contracted.settings() == ["model.contraction=mip360", "data.unbounded=true"]
    assert run_from_settings("bricks", "mipnerf", "bricks", ["model.contraction=mip360"]) == contracted
    assert run_from_settings("bricks", "mipnerf", "bricks", contracted.settings()) == contracted
    assert contracted.model_dump()["model"]["contraction_radius"] == 4.0
    assert type(contracted)(**contracted.model_dump()) == contracted


@pytest.mark.parametrize(
    ("model", "data", "layout", "parts"),
    [
        ({"ray_shape": "point", "num_fine_samples": 8}, {}, "multiscale", ["ray_shape point", "cone and cylinder"]),
        ({}, {"near": 0}, "multiscale", ["contraction mip360", "data.near: it must be positive"]),
        ({}, {}, "llff", ["blender/mipnerf/lego", "NDC", "set model.contraction to none, or data.spherify to true"]),
        ({"contraction_radius": 0}, {}, "multiscale", ["contraction_radius is 0", "greater than 0"]),
    ],
)
def test_what_does_not_go_with_a_contraction_is_said(model, data, layout, parts):
    run = {"dataset": "blender", "variants": ["mipnerf"], "model": model | {"contraction": "mip360"}, "data": data}
    values = changed("runs", [run])
    values["datasets"]["blender"]["layout"] = layout
    with pytest.raises(ConfigError) as caught:
        resolved(values)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_spherified_captures_may_be_contracted():
    run = {
        "dataset": "blender",
        "variants": ["mipnerf"],
        "model": {"contraction": "mip360"},
        "data": {"spherify": True},
    }
    values = changed("runs", [run])
    values["datasets"]["blender"]["layout"] = "llff"
    assert all(run.data.unbounded for run in resolved(values).values())


def test_nobody_sets_what_follows_from_a_contraction():
    with pytest.raises(ConfigError, match="unbounded"):
        resolved(changed("runs", 0, "data", {"unbounded": True}))


def test_later_differences_win():
    values = changed("model", {"net_width": 32, "disable_integration": False})
    runs = resolved(values)
    assert runs["bricks/mipnerf/bricks"].model.net_width == 32
    assert runs["bricks/wo_ipe/bricks"].model.disable_integration is True


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (changed("runs", 0, "model", {"net_widht": 3}), ["runs.0.model.net_widht", "'net_width'", "allowed are"]),
        (changed("runs", 0, "model", {"net_width": "3"}), ["net_width is '3'", "integer"]),
        (changed("runs", 0, "model", {"net_width": 0}), ["net_width is 0", "greater than"]),
        (changed("runs", 0, "model", {"net_width": 1.5}), ["net_width is 1.5", "integer"]),
        (changed("train", {"lr_init": "5e-4"}), ["train.lr_init is '5e-4'", "number", "5.0e-4"]),
        (changed("train", {"lr_init": -1}), ["train.lr_init is -1"]),
        (changed("train", {"lr_init": float("nan")}), ["train.lr_init", "finite"]),
        (changed("train", {"randomized": "yes"}), ["train.randomized is 'yes'", "boolean"]),
        (changed("model", {"ray_shape": "cube"}), ["model.ray_shape is 'cube'", "'cone', 'cylinder' or 'point'"]),
        (changed("model", {"max_deg_point": 2, "min_deg_point": 3}), ["max_deg_point 2 must exceed min_deg_point 3"]),
        (changed("data", {"near": 3.0, "far": 1.0}), ["data.near 3.0 must be less than data.far 1.0"]),
        (
            changed(
                "runs",
                [{"dataset": "bricks", "variants": ["mipnerf"], "model": {"lindisp": True}, "data": {"near": 0}}],
            ),
            ["lindisp", "data.near"],
        ),
        (changed("sources", {"archiv": "/x"}), ["sources: 'archiv' is unknown", "'archive'"]),
        (changed("downloads", {"archiv": []}), ["downloads: 'archiv' is unknown", "'archive'"]),
        (
            changed("downloads", {"archive": [{"url": "lego.zip"}]}),
            ["downloads.archive.0.url", "must begin with http://"],
        ),
        (changed("downloads", {"archive": [{"url": "http://a/{x}"}]}), ["no braces but {scene}"]),
        (changed("downloads", {"archive": [{"urls": "http://a"}]}), ["downloads.archive.0.urls", "'url'"]),
        (
            changed("downloads", {"archive": [{"url": "http://a", "scenes": ["leo"]}]}),
            ["downloads.archive: 'leo' is unknown", "'lego'"],
        ),
        (changed("verify", "lax"), ["verify is 'lax'", "'strict', 'warn' or 'off'"]),
        (changed("verify", True), ["verify is True"]),
        (changed("bricks", {"size": 100}), ["bricks.size 100 must be a multiple of 8"]),
        (changed("datasets", "bricks", "scenes", ["mean"]), ["'mean' is the name of"]),
        (changed("datasets", "table2", BASE["datasets"]["bricks"]), ["datasets.table2: tables/table2.md is another"]),
        (changed("datasets", "bricks_scenes", BASE["datasets"]["bricks"]), ["tables/bricks_scenes.md is another"]),
        (
            changed("datasets", "blender_lego", {"source": "archive", "scenes": ["lego", "lego_lego"]}),
            ["datasets.blender_lego: plots/blender_lego_lego_strip.png may be of datasets.blender;"],
        ),
        (changed("datasets", "bricks", "layout", "blender"), ["the layout blender has one resolution"]),
        (changed("datasets", "bricks", "layout", "llff"), ["bricks is a Blender scene"]),
        (changed("datasets", "bricks", "layout", "colmap"), ["bricks is a Blender scene"]),
        (changed("datasets", "blender", "layout", "colmp"), ["datasets.blender.layout is 'colmp'", "'colmap'"]),
        (changed("data", {"layout": "colmap"}), ["data.layout is an unknown key"]),
        (changed("datasets", "blender", "scenes", ["My-Scene"]), ["'My-Scene'", "lower-case letters, digits and _"]),
        (changed("data", {"train_levels": 9}), ["data.train_levels 9 must be at most"]),
        (changed("scale", 2.0), ["scale is 2.0"]),
        (changed("scale", 0), ["scale is 0"]),
        (changed("data_root", ""), ["data_root is ''"]),
        (changed("model", {"max_deg_point": 200}), ["max_deg_point is 200", "32"]),
        (changed("train", {"seed": 2**63}), ["train.seed"]),
        (changed("opration", {}), ["opration is an unknown key", "'operation'"]),
        (changed("operation", {"device": "tpu"}), ["operation.device is 'tpu'", "'cuda'"]),
        (changed("runs", 0, "scenes", ["brick"]), ["runs[0].scenes", "'brick' is unknown", "'bricks'"]),
        (changed("runs", 0, "variants", ["mipnrf"]), ["runs[0].variants", "did you mean 'mipnerf'?"]),
        (changed("runs", 0, "dataset", "lego"), ["runs[0].dataset", "known are bricks, blender"]),
        (changed("runs", []), ["runs is []", "at least 1"]),
        (changed("variants", {"Bad-Name": {}}), ["variants"]),
        (changed("model", 3), ["model is 3"]),
        (changed("datasets", {"bricks": {"scenes": ["bricks"]}}), ["datasets.bricks.source is missing"]),
        (changed("runs", 0, "seeds", [1, 2, 1]), ["runs.0.seeds", "[1, 2, 1] names a seed twice"]),
        (changed("runs", 0, "seeds", []), ["runs.0.seeds is []", "at least 1"]),
        (changed("runs", 0, "seeds", [-1]), ["runs.0.seeds.0 is -1"]),
        (changed("variants", {"my_seed3": {}}), ["variants.my_seed3 ends like a further seed"]),
        (
            changed("runs", [BASE["runs"][0], {"dataset": "bricks", "variants": ["mipnerf"]}]),
            ["bricks/mipnerf/bricks with other values"],
        ),
    ],
)
def test_mistakes_are_named(values, parts):
    with pytest.raises(ConfigError) as error:
        resolved(values)
    for part in parts:
        assert part in str(error.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda node: (
            st.lists(node, max_size=3) | st.dictionaries(st.sampled_from([*sorted(BASE), "x"]), node, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_yaml_is_accepted_or_a_config_error(node):
    values = {**BASE, **node} if isinstance(node, dict) else {**BASE, "runs": node}
    with contextlib.suppress(ConfigError):
        resolved(values)


def test_off_is_a_word_though_yaml_reads_it_as_a_truth_value():
    assert [parse_config(changed("verify", value)).verify for value in (False, "off", "warn")] == ["off", "off", "warn"]
    assert parse_config(BASE).verify == "strict"


def test_settings_round_trip():
    train = {"lr_init": 2e-3, "lr_final": 2e-5, "randomized": False, "precision": "float32"}
    run = resolved(changed("train", train))["bricks/wo_ipe/bricks"]
    again = run_from_settings("bricks", "wo_ipe", "bricks", run.settings())
    assert again == run
    assert "model.disable_integration=true" in run.settings()


@pytest.mark.parametrize("setting", ["net_width=3", "model.net_width", "modell.net_width=3", "operation.device=cpu"])
def test_settings_of_another_form_are_refused(setting):
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        run_from_settings("a", "b", "c", [setting])


def test_operation_settings():
    assert operation_from_settings([]) == OperationConfig()
    assert operation_from_settings(["operation.device=cpu", "operation.save_minutes=2"]).save_minutes == 2
    with pytest.raises(ConfigError, match="save_mintes"):
        operation_from_settings(["operation.save_mintes=2"])


def test_fingerprint_covers_what_changes_training_and_nothing_else(run_with):
    base = run_with()
    assert base.fingerprint("data") == run_with().fingerprint("data")
    assert base.fingerprint("data") != base.fingerprint("other data")
    assert base.fingerprint() != run_with(train={"lr_init": 1e-3}).fingerprint()
    assert base.fingerprint() != run_with(model={"net_width": 17}).fingerprint()
    assert base.fingerprint() == run_with(data={"max_test_views": 3}).fingerprint()


def test_words_of_the_command_line_become_what_they_stand_for():
    words = {
        "a": {"b": ["1", "2.5", "True", "null"], "c": "lego", "d": "5e-4"},
        "e": "/a: x",
        "f": 3,
        "g": "[1]",
        "h": "",
        "i": "010",
    }
    values = {"a": {"b": [1, 2.5, True, None], "c": "lego", "d": 5e-4}, "e": "/a: x", "f": 3, "g": "[1]"}
    values |= {"h": "", "i": "010"}
    assert retyped(words) == values


def test_committed_schema_is_the_generated_one():
    committed = json.loads((CONFIG / "schemas" / "config.schema.json").read_text())
    hint = "run: python -m mipnerf schema > config/schemas/config.schema.json"
    assert committed == json_schema(), f"the schema has drifted from mipnerf/config/parameters.py; {hint}"


def test_default_configuration_shows_every_operation_and_bricks_key():
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    assert default["operation"].keys() == OperationConfig.model_fields.keys()
    assert default["operation"] == OperationConfig().model_dump()
    assert default["bricks"].keys() == {"size", "num_train", "num_val", "num_test"}


def test_importing_the_configuration_leaves_torch_out():
    code = "import sys, mipnerf.config.runs, mipnerf.errors; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
