"""What the rules compute: functions of the configuration, without Snakemake running."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError

from mipnerf.config import SuiteConfig, parse_config
from mipnerf.config.files import read_mapping, read_suite
from rules.suite.command import read_command
from rules.suite.configuration import complete, typed, typed_part, write_complete
from rules.suite.request import Request, named_folders, one_of, parents
from rules.suite.shards import finished_shards
from rules.suite.sources import Sources
from rules.suite.targets import asked_runs, check_targets, forced_folders

ROOT = Path(__file__).parents[3]
METRICS = "results/bricks/mipnerf/bricks/metrics.csv"


def suite_of(**values: object) -> SuiteConfig:
    """The default configuration with some values changed."""
    return parse_config(complete(values, None))


def request_of(folder: Path = Path(), is_main: bool = True, **values: object) -> Request:
    return Request(suite_of(**values), lambda path: str(folder / path), is_main)


def wildcards(**values: str) -> SimpleNamespace:
    return SimpleNamespace(**{"dataset": "bricks", "variant": "mipnerf", "scene": "bricks"} | values)


class Rule:
    """A rule of Snakemake, as far as a target is concerned."""

    def __init__(self, name: str, pattern: str | None = None) -> None:
        self.name, self.pattern = name, pattern

    def has_wildcards(self) -> bool:
        return self.pattern is not None

    def is_producer(self, target: str) -> bool:
        return self.pattern is not None and bool(re.fullmatch(self.pattern, target))


RULES = [Rule("metrics"), Rule("figures"), Rule("evaluate", "results/bricks/(mipnerf|nerf)/bricks/metrics.csv")]


# --- the command line ---


def test_a_command_is_read_as_snakemake_reads_it():
    command = read_command(
        ["/venv/bin/snakemake", "-n", "--report", "results/report.zip", "--", f"./{METRICS}", "data"]
    )
    assert command.targets == (METRICS, "data")
    assert not command.forced
    forced = read_command(["snakemake", "--cores", "2", "--forcerun", "train", METRICS, "--", "data"])
    assert forced.forced == {"train", METRICS}
    assert forced.forces(["train"], [])
    assert forced.forces([], [METRICS])
    assert not forced.forces(["evaluate"], ["results/table.md"])
    assert read_command(["snakemake", "-f", METRICS]).forced == {METRICS}
    assert read_command(["snakemake", "-F"]).forces([], [])
    assert read_command(["/site-packages/snakemake/__main__.py", "data"]).targets == ("data",)


def test_a_rule_is_forced_under_a_modules_prefix_too():
    command = read_command(["snakemake", "--forcerun", "mip_train"])
    assert command.forces(["train"], [])
    assert not command.forces(["evaluate"], [])


@pytest.mark.parametrize("argv", [[], ["pytest", "results/table.md"], ["snakemake", "--cores"]], ids=str)
def test_another_program_and_a_broken_line_ask_for_nothing(argv):
    assert read_command(argv).targets == ()


# --- the configuration ---


def test_the_working_folder_comes_before_the_workflow(tmp_path):
    assert complete({}, tmp_path) == complete({}, None)
    (tmp_path / "variants.yaml").write_text("variants: {mine: {}}\n")
    assert list(complete({}, tmp_path)["variants"]) == ["mine"]
    assert "mipnerf" in complete({}, None)["variants"]


def test_what_is_given_wins_and_mappings_are_merged():
    given = {"variants": {"mine": {}}, "runs": [{"dataset": "bricks", "variants": ["mine"]}]}
    values = complete(given, None)
    assert {"mine", "mipnerf"} <= set(values["variants"])
    assert values["runs"] == given["runs"]


def test_a_written_configuration_is_what_it_was_whatever_the_defaults_become(tmp_path):
    values = complete({"scale": 0.5}, None)
    path = write_complete(values, tmp_path)
    (tmp_path / "config.yaml").write_text("scale: 0.25\n")
    assert complete(read_mapping(path), tmp_path) == values
    assert write_complete(values, tmp_path) == path
    assert write_complete(values | {"scale": 1.0}, tmp_path) != path


def test_words_of_the_command_line_are_numbers_and_those_of_files_are_not():
    words = {"train": {"max_steps": "5"}, "lpips": "true"}
    given = {"train": {"max_steps": "5", "lr_init": "5e-4"}, "lpips": "false", "scale": "1"}
    assert typed(given, words) == {"train": {"max_steps": 5, "lr_init": "5e-4"}, "lpips": "false", "scale": "1"}


def test_words_for_any_part_of_a_workflows_configuration_are_numbers():
    words = {"mip": {"scale": "0.5", "bricks": {"size": "64"}}}
    assert typed_part({"scale": "0.5", "bricks": {"size": "64"}}, words) == {"scale": 0.5, "bricks": {"size": 64}}
    assert typed_part({"mip": {"scale": "0.5"}}, words) == {"mip": {"scale": 0.5}}


def test_a_module_leaves_the_targets_of_others_alone():
    check_targets(request_of(), read_command(["snakemake", "mine", "results/mine.txt"]), RULES, False)
    with pytest.raises(WorkflowError, match="did you mean"):
        check_targets(request_of(), read_command(["snakemake", METRICS.replace("mip", "mop")]), RULES, False)


# --- runs ---


def test_the_pattern_of_names_takes_these_and_no_others():
    pattern = re.compile(one_of(["bricks", "blender"], unless=["bricks/nerf/x"]))
    assert pattern.fullmatch("bricks")
    assert not pattern.fullmatch("brick")
    assert not re.match(f"{pattern.pattern}/nerf/x/model.pt", "bricks/nerf/x/model.pt")
    assert re.match(f"{pattern.pattern}/nerf/x/model.pt", "blender/nerf/x/model.pt")
    assert not re.fullmatch(one_of([]), "")


def test_an_unknown_run_is_refused_with_those_that_there_are():
    request = request_of()
    with pytest.raises(WorkflowError, match=r"bricks/nerf/bricks is not a run .*\n  bricks/mipnerf/bricks\n"):
        request.run_of(wildcards(variant="nerf"))
    with pytest.raises(WorkflowError, match="no run of this configuration is of llff"):
        request.folders("llff")


def test_a_level_that_a_run_does_not_have_is_refused():
    request = request_of()
    assert request.levels_of(wildcards()) == [0, 1, 2, 3]
    assert request.levels_of(wildcards(level="2")) == [2]
    with pytest.raises(WorkflowError, match="its levels are 0 to 3"):
        request.levels_of(wildcards(level="4"))


def test_a_job_evaluates_all_levels_one_or_a_shard():
    request = request_of(data={"max_test_views": 2}, lpips=True)
    what = ["--max-views", "2", "--lpips", "data/weights/lpips.json"]
    levels = ["--levels", "0", "1", "2", "3"]
    assert request.evaluation_arguments(wildcards()) == [*levels, "--collect", METRICS, *what]
    assert request.evaluation_arguments(wildcards(level="1")) == ["--levels", "1", *what]
    shard = request.evaluation_arguments(wildcards(level="1", shard="2_of_3"))
    assert shard == ["--levels", "1", "--shard", "2_of_3", *what]


def test_a_training_is_told_of_its_scene():
    expected = ["--levels", "4", "--manifest", "data/sources/bricks/bricks/manifest.json"]
    assert request_of().scene_arguments(wildcards()) == expected


def test_folders_come_from_files_wherever_a_module_puts_them():
    assert parents(["mip/results/a/metrics.csv", "mip/results/b/metrics.csv"]) == ["mip/results/a", "mip/results/b"]
    assert named_folders([("bricks", "x")], ["mip/data/bricks/x/manifest.json"]) == ["bricks/x=mip/data/bricks/x"]


# --- shards ---


def test_an_evaluation_is_divided_only_where_it_is_still_to_be_made(tmp_path):
    request = request_of(tmp_path, eval_shards=2)
    shards = [f"results/bricks/mipnerf/bricks/level_1/shards/{name}.csv" for name in ("1_of_2", "2_of_2")]
    assert request.shards_of(wildcards(level="1")) == shards
    assert len(request.shards_of(wildcards())) == 8
    assert request.shards_of(wildcards(level="1", shard="1_of_2")) == []
    run = tmp_path / "results/bricks/mipnerf/bricks"
    run.mkdir(parents=True)
    (run / "metrics.csv").touch()
    assert request.shards_of(wildcards()) == []
    assert request_of(tmp_path).shards_of(wildcards()) == []


def test_an_evaluated_run_keeps_its_shards_whatever_the_configuration_says(tmp_path):
    run = tmp_path / "results/bricks/mipnerf/bricks"
    for level in range(4):
        (run / f"level_{level}" / "shards").mkdir(parents=True)
        for i in (1, 2, 3):
            (run / f"level_{level}" / "shards" / f"{i}_of_3.csv").touch()
    (run / "metrics.csv").touch()
    expected = request_of(tmp_path, eval_shards=3).shards_of(wildcards())
    assert len(expected) == 12
    for count in (1, 2):
        assert request_of(tmp_path, eval_shards=count).shards_of(wildcards()) == expected
    # Even where the collected metrics are gone, unless other parts are asked for.
    (run / "metrics.csv").unlink()
    assert request_of(tmp_path).shards_of(wildcards()) == expected
    assert len(request_of(tmp_path, eval_shards=2).shards_of(wildcards())) == 8
    (run / "metrics.csv").touch()
    # A job on another machine finds those that were made for it.
    (run / "metrics.csv").unlink()
    assert request_of(tmp_path, is_main=False, eval_shards=3).shards_of(wildcards()) == expected
    (run / "level_2" / "shards" / "2_of_3.csv").unlink()
    assert finished_shards(run, range(4)) == []
    assert finished_shards(run, [0]) == ["1_of_3", "2_of_3", "3_of_3"]


# --- targets ---


def test_a_mistyped_target_is_answered_by_the_nearest_and_the_runs():
    command = read_command(["snakemake", METRICS.replace("mipnerf", "mipnerfx")])
    with pytest.raises(WorkflowError, match=rf"did you mean\n  {METRICS}\n(.|\n)*bricks/mipnerf_wo_ipe/bricks"):
        check_targets(request_of(), command, RULES, True)
    with pytest.raises(WorkflowError, match="did you mean\n  metrics"):
        check_targets(request_of(), read_command(["snakemake", "metrix"]), RULES, True)
    with pytest.raises(WorkflowError, match="no rule makes qqqq\nThe runs"):
        check_targets(request_of(), read_command(["snakemake", "qqqq"]), RULES, True)


def test_a_target_that_a_rule_makes_or_that_is_there_is_fine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").touch()
    check_targets(request_of(), read_command(["snakemake", METRICS, "figures", "mine.txt"]), RULES, True)


def test_many_runs_are_counted_rather_than_listed():
    request = request_of(runs=[{"dataset": "bricks", "variants": ["mipnerf"], "seeds": list(range(100))}])
    with pytest.raises(WorkflowError, match="and 70 more"):
        check_targets(request, read_command(["snakemake", "qqqq"]), RULES, True)


@pytest.mark.parametrize(
    ("targets", "count"), [([], 2), ([METRICS], 1), ([METRICS, "results/table.md"], 2), (["all"], 2)], ids=str
)
def test_the_data_of_the_asked_runs_alone_are_needed(targets, count):
    assert len(asked_runs(request_of(), read_command(["snakemake", "--", *targets]))) == count


def test_forced_runs_are_named_under_a_word_of_their_own():
    request = request_of()

    def forced(*arguments: str) -> list[str]:
        words = forced_folders(request, read_command(["snakemake", *arguments]), ["train"], ["model.pt"])
        return words.split()[1:]

    assert forced() == []
    assert forced("--forcerun", "train") == request.folders()
    assert forced("-F") == request.folders()
    assert forced("-f", "results/bricks/mipnerf/bricks/model.pt") == ["results/bricks/mipnerf/bricks"]
    assert forced("--forcerun", "plot") == []


# --- sources ---


def test_a_source_that_is_neither_here_nor_in_the_network_is_refused(tmp_path):
    lego = [{"dataset": "multiscale_blender", "scenes": ["lego"], "variants": ["mipnerf"]}]
    suite = suite_of(runs=lego, downloads={"nerf_synthetic": []})
    sources = Sources(suite, ROOT, lambda path: str(tmp_path / path))
    runs = list(Request(suite, str, True).runs.values())
    with pytest.raises(WorkflowError, match=r"sources\.nerf_synthetic is not set"):
        sources.check(runs)
    sources.local["nerf_synthetic"] = str(tmp_path / "gone.zip")
    suite.sources["nerf_synthetic"] = str(tmp_path / "gone.zip")
    with pytest.raises(WorkflowError, match=r"gone\.zip, which does not exist"):
        sources.check(runs)
    # What is here needs no source.
    manifest = sources.manifest("nerf_synthetic", "lego")
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"verified": true}')
    sources.check(runs)
    manifest.write_text('{"verified": false}')
    with pytest.raises(WorkflowError, match="other files than the official ones"):
        sources.check(runs)


def test_the_default_configuration_is_that_of_a_project_without_one(tmp_path):
    assert read_suite(tmp_path) == read_suite(ROOT)


PHONE = {"source": "mine", "layout": "photos", "scenes": ["desk"], "levels": 2, "data": {"frames": 40}}


def test_cameras_are_found_as_the_runs_of_the_scene_say():
    request = request_of(datasets={"phone": PHONE}, runs=[{"dataset": "phone", "variants": ["mipnerf"]}])
    names = wildcards(dataset="phone", scene="desk")
    assert request.photo_datasets == ["phone"]
    assert request.photo_settings(names) == ["data.frames=40"]
    assert request.photos_of(names) == "data/sources/mine/desk/manifest.json"
    assert request.manifest_of(names) == "data/phone/desk/manifest.json"


def test_without_pycolmap_cameras_that_are_still_to_be_found_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    runs = [{"dataset": "phone", "variants": ["mipnerf"]}]
    request = request_of(tmp_path, datasets={"phone": PHONE}, runs=runs)
    names = wildcards(dataset="phone", scene="desk")
    with pytest.raises(WorkflowError, match=r"pip install -e '.\[sfm\]'"):
        request.photos_of(names)
    (tmp_path / "data" / "phone" / "desk").mkdir(parents=True)
    (tmp_path / "data" / "phone" / "desk" / "manifest.json").touch()
    assert request.photos_of(names)


def test_a_source_of_photographs_says_so_where_it_is_fetched():
    suite = suite_of(datasets={"phone": PHONE}, runs=[{"dataset": "phone", "variants": ["mipnerf"]}])
    sources = Sources(suite, Path(), str)
    assert sources.checksums_of(SimpleNamespace(source="mine", scene="desk")) == ["--photos"]
    assert sources.checksums_of(SimpleNamespace(source="mine", scene="other")) == []


def test_views_from_around_are_made_of_as_many_scenes_as_the_report_bears():
    names = [
        "results/bricks/mipnerf/bricks/orbit/level_0.json",
        "results/bricks/mipnerf_wo_ipe/bricks/orbit/level_0.json",
    ]
    assert request_of().orbits() == names
    assert request_of(orbit={"frames": 0}).orbits() == []
    assert request_of(orbit={"frames": 24, "width": 512}).orbits() == []
    assert request_of().orbit_path(wildcards()) == "spherical"
    runs = [{"dataset": "bricks", "variants": ["mipnerf"], "seeds": [0, 1]}]
    assert request_of(runs=runs).orbits() == names[:1]
    paper = read_suite(ROOT, [ROOT / "config" / "paper.yaml"])
    several = Request(paper, lambda path: path, True).orbits()
    scenes = {tuple(name.split("/")[1:4:2]) for name in several}
    assert 0 < len(scenes) < len(Request(paper, lambda path: path, True).scenes)
