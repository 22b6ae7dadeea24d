"""What figures there are, and what each of them shows."""

from mipnerf.report.figures import FIGURES, IN_TABLE, PUBLISHED_LEVELS, PUBLISHED_SCENES, dataset_kinds
from mipnerf.report.reference import LEVEL_COLUMNS, load_reference


def test_deltas_are_drawn_where_something_was_published(reference_folder):
    reference = load_reference(reference_folder)
    for dataset, levels in PUBLISHED_LEVELS.items():
        assert reference.scenes(dataset) == set(PUBLISHED_SCENES)
        assert len(LEVEL_COLUMNS[dataset]) == levels
    everything = [("nerf", scene) for scene in PUBLISHED_SCENES]
    assert "deltas" in dataset_kinds("multiscale_blender", 4, [("mipnerf", "lego")])
    assert "deltas" in dataset_kinds("blender", 1, everything)
    for dataset, levels, runs in (
        ("bricks", 4, [("mipnerf", "bricks")]),
        ("multiscale_blender", 3, [("mipnerf", "lego")]),
        ("multiscale_blender", 4, everything[:7]),
        ("blender", 1, [("mipnerf", "desk"), ("nerf", "lego")]),
    ):
        assert dataset_kinds(dataset, levels, runs) == ["levels", "cost", "history"]


def test_every_figure_says_what_it_shows():
    assert set(IN_TABLE) <= set(FIGURES)
    assert all(kind.title and kind.caption.endswith(".") and "png" in kind.endings for kind in FIGURES.values())
