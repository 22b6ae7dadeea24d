"""Every hyper-parameter of the suite, typed and strict; the defaults are those of google/mipnerf.

`SuiteConfig` is what the YAML files hold; `mipnerf.config.runs` turns it into one `RunConfig` a training.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from mipnerf.config.layouts import CAPTURES, PHOTOS
from mipnerf.config.model import ModelConfig
from mipnerf.config.sections import (
    BricksConfig,
    CropConfig,
    DownloadConfig,
    Fraction,
    Name,
    OperationConfig,
    OrbitConfig,
    PhotosConfig,
    Positive,
    Section,
    VideoConfig,
    partial_of,
    without_defaults,
)
from mipnerf.config.sweeps import SWEPT, Sweeps, sweeps_of
from mipnerf.config.validation import lookup, validated

SEED_SUFFIX = re.compile(r"_seed\d+$")  # of a variant's name, for all seeds of a run but the first
VariantName = Annotated[str, Field(pattern=rf"^[a-z0-9_]+{SWEPT}$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Verify = Literal["strict", "warn", "off"]


if TYPE_CHECKING:
    CaptureName = str
    LayoutName = str
else:
    CaptureName = Literal[tuple(CAPTURES)]
    LayoutName = Literal["multiscale", "blender", "llff", PHOTOS, *CAPTURES]


class TrainConfig(Section):
    """Optimisation (`Config` of google/mipnerf)."""

    batch_size: Positive = Field(4096, description="rays per step")
    linear_scaling: bool = Field(
        False, description="multiply the steps, and divide the learning rates, by 4096 / batch_size"
    )
    max_steps: Positive = Field(1_000_000, description="optimisation steps")
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of training, instead of max_steps: the steps follow from the speed that is measured first"
    )
    lr_init: Annotated[float, Field(gt=0)] = Field(5e-4, description="learning rate at the first step")
    lr_final: Annotated[float, Field(gt=0)] = Field(5e-6, description="learning rate at the last step")
    lr_delay_steps: Annotated[int, Field(ge=0)] = Field(2500, description="steps of warm-up")
    lr_delay_mult: Annotated[float, Field(gt=0, le=1)] = Field(0.01, description="the warm-up starts at this share")
    schedule: Literal["log_linear", "cosine"] = Field(
        "log_linear", description="way from lr_init to lr_final; cosine keeps it high for longer, for few steps"
    )
    average: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="evaluate a moving average of the weights; its half-life is this share of the steps; 0: the last",
    )
    optimizer: Literal["adam", "muon"] = Field(
        "adam",
        description="what moves the weights; muon, for short trainings, makes the mean gradient of matrices with 16 "
        "rows and columns or more orthogonal (beyond the paper)",
    )
    backward_share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="share of the samples that the backward pass goes through, drawn by their gradients and weighed so "
        "that the expected gradient stays; below 1, a step takes less time on a CPU (beyond the paper)",
    )
    coarse_loss_mult: Fraction = Field(0.1, description="weight of the losses of all levels but the last")
    weight_decay_mult: Fraction = Field(0.0, description="weight of the mean square of all parameters")
    grad_max_norm: Fraction = Field(0.0, description="clip the gradient's norm; 0 does not")
    grad_max_val: Fraction = Field(0.0, description="clip each gradient, before the norm; 0 does not")
    disable_multiscale_loss: bool = Field(False, description="weigh all pixels alike: the ablation w/o area loss")
    randomized: bool = Field(True, description="jitter the samples along the rays")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the network's matrix products; auto takes bfloat16 where the hardware computes in it"
    )
    seed: Seed = Field(0, description="of initial weights, batches and jitter")

    @model_serializer(mode="wrap")
    def _as_before_all_samples_could_be_less(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(handler(self), {"backward_share": 1.0})


class DataConfig(PhotosConfig):
    """What is read from a dataset, and how."""

    white_bkgd: bool = Field(True, description="composite images and renderings on white")
    batching: Literal["all_images", "single_image", "all_levels"] = Field(
        "all_images", description="where a batch is drawn from; all_levels draws every resolution level as often"
    )
    foreground_tries: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="draws of a ray at most, until its pixel is not transparent; weights make up for it"
    )
    near: Annotated[float, Field(ge=0)] | None = Field(None, description="nearest sample; null keeps the dataset's")
    far: Annotated[float, Field(gt=0)] | None = Field(None, description="farthest sample; null keeps the dataset's")
    box: Annotated[list[float], Field(min_length=6, max_length=6)] | None = Field(
        None,
        description="lowest and highest corner of what holds all of the scene, in the coordinates of its rays: "
        "nothing is sampled outside of it",
    )
    use_pixel_centers: bool = Field(True, description="rays pass through the centres of pixels; else their corners")
    factor: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="images are this many times smaller; 0: as they are"
    )
    train_levels: Positive | None = Field(None, description="train on this many of the finest levels; null: all")
    llffhold: Annotated[int, Field(ge=2)] = Field(
        8, description="captures: every so many views, sorted by name, one is a test view"
    )
    layout: CaptureName | None = Field(
        None, description="what a capture is read from, which the dataset's layout says; null goes by its files"
    )
    missing_images: Literal["refuse", "skip"] = Field(
        "refuse", description="transforms and colmap: what becomes of cameras whose images are not there"
    )
    camera_scale: Annotated[float, Field(gt=0)] = Field(
        1.0, description="transforms and colmap: images were scaled by this after their cameras were found"
    )
    normalize: bool = Field(
        True, description="transforms and colmap: what the cameras look at comes to the origin, 4 from them on average"
    )
    spherify: bool = Field(False, description="LLFF: cameras all around the scene, instead of NDC rays")
    ndc_unit_viewdirs: bool = Field(False, description="LLFF: directions given to the network have unit length in NDC")
    max_test_views: Positive | None = Field(None, description="evaluate this many views, evenly spread; null: all")
    supersample: bool = Field(False, description="evaluate by rendering full resolution and averaging down")
    unbounded: bool = Field(False, description="near and far are found for a background without end; see RunConfig")

    @field_validator("box")
    @classmethod
    def _corners_are_ordered(cls, box: list[float] | None) -> list[float] | None:
        if box and not all(low < high for low, high in zip(box[:3], box[3:], strict=True)):
            raise ValueError(f"{box} holds nothing; give x, y and z of the lowest corner, then of the highest")
        return box

    @model_serializer(mode="wrap")
    def _as_before_there_were_backgrounds_and_boxes(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(handler(self), {"unbounded": False, "box": None})


# These change what is evaluated, not what is trained.
EVALUATION_KEYS = ("max_test_views", "supersample")
# These change what cameras are found, by one job for all runs of a scene.
PHOTO_KEYS = tuple(PhotosConfig.model_fields)


if TYPE_CHECKING:
    ModelOverrides = ModelConfig
    TrainOverrides = TrainConfig
    DataOverrides = DataConfig
    SweepsConfig = Sweeps
else:
    ModelOverrides, TrainOverrides = map(partial_of, (ModelConfig, TrainConfig))
    # A dataset has the one, a network the other.
    DataOverrides = partial_of(DataConfig, without=("layout", "unbounded"))
    SweepsConfig = sweeps_of(model=ModelConfig, train=TrainConfig, data=DataConfig)


class Overrides(Section):
    """Differences from the defaults, section by section."""

    model: ModelOverrides = ModelOverrides()
    train: TrainOverrides = TrainOverrides()
    data: DataOverrides = DataOverrides()


class DatasetConfig(Overrides):
    """A dataset: where its scenes come from, and what is particular about it."""

    source: Name = Field(description="the archive it is made from: a key of `sources`, or `bricks`")
    scenes: Annotated[list[Name], Field(min_length=1)] = Field(description="all scenes it has")
    levels: Annotated[int, Field(ge=1, le=8)] = Field(4, description="resolution levels; each halves the last")
    layout: LayoutName = Field(
        "multiscale", description="what is read: a conversion of a Blender scene to all levels, or the source as it is"
    )

    def video_paths(self, spherify: bool) -> tuple[str, ...]:
        """The camera paths of its scenes, as `mipnerf.views.paths.camera_path` has them."""
        return ("spiral" if self.layout == "llff" and not spherify else "spherical", "zoom")


class VariantConfig(Overrides):
    """A method: its differences from mip-NeRF, or another evaluation of a variant that is trained."""

    model_of: Name | None = Field(None, description="evaluate the networks of this variant; none are trained")

    @model_validator(mode="after")
    def _changes_nothing_that_is_trained(self) -> Self:
        changed = {f"data.{key}" for key in self.data.model_fields_set - set(EVALUATION_KEYS)}
        changed |= {f"{part}.{key}" for part in ("model", "train") for key in getattr(self, part).model_fields_set}
        if self.model_of and changed:
            raise ValueError(
                f"{', '.join(sorted(changed))} would change the training, but the networks are those of "
                f"{self.model_of}; allowed are {', '.join(f'data.{key}' for key in EVALUATION_KEYS)}"
            )
        return self


class RunsConfig(Overrides):
    """Trainings to run: every scene with every variant."""

    dataset: Name
    variants: Annotated[list[Name], Field(min_length=1)]
    scenes: Annotated[list[Name], Field(min_length=1)] | Literal["all"] = "all"
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = Field(
        None, description="train with each, which wins over train.seed; all but the first add _seedN to the variant"
    )
    sweeps: SweepsConfig | None = Field(
        None, description="values of which each makes a variant, such as mipnerf-lr_init=0.001; they win over `runs`"
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and len(set(seeds)) < len(seeds):
            raise ValueError(f"{seeds} names a seed twice; a run with the same seed is the same run")
        return seeds


class SuiteConfig(Overrides):
    """The whole configuration: what to run, and every way in which it differs from the reference.

    Later differences win: the dataset's, those of `runs`, those at the top level (where `--config` writes), and the
    variant's, which are what it is.
    """

    data_root: Annotated[str, Field(min_length=1)] = Field(
        "data", description="folder of the unpacked and converted datasets"
    )
    sources: dict[Name, str | None] = Field(
        default_factory=dict,
        description="archive or folder of each source on this machine; it comes before `downloads`",
    )
    downloads: dict[Name, list[DownloadConfig]] = Field(
        default_factory=dict, description="archives of each source in the network, tried in order"
    )
    verify: Annotated[
        Verify,
        # For YAML the word `off` is a truth value.
        BeforeValidator(lambda value: "off" if value is False else value),
        WithJsonSchema({"enum": ["strict", "warn", "off", False]}),
    ] = Field("strict", description="what to do with files that are not the official ones: refuse, warn or take them")
    bricks: BricksConfig = BricksConfig()
    video: VideoConfig = VideoConfig()
    orbit: OrbitConfig = OrbitConfig()
    datasets: dict[Name, DatasetConfig]
    variants: dict[Name, VariantConfig]
    runs: Annotated[list[RunsConfig], Field(min_length=1)]
    scale: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="share of the configured cost; see `scaled`")
    lpips: bool = Field(False, description="measure LPIPS, which needs the extra `lpips` and the weights of VGG")
    eval_shards: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="jobs that evaluate one level together")
    crops: dict[str, CropConfig] = Field({}, description="what of DATASET/SCENE is shown in detail")
    operation: OperationConfig = OperationConfig()
    launcher: str = Field("", description="put before the command of a GPU job, such as `srun --overlap`")

    @model_validator(mode="after")
    def _sources_belong_to_datasets(self) -> Self:
        known = self.scenes_of_sources()
        for source in self.sources:
            lookup(known, source, "sources")
        for source, downloads in self.downloads.items():
            lookup(known, source, "downloads")
            for scene in (scene for download in downloads for scene in download.scenes or []):
                lookup(dict.fromkeys(known[source]), scene, f"downloads.{source}")
        for name, dataset in self.datasets.items():
            if "mean" in dataset.scenes:
                raise ValueError(
                    f"datasets.{name}.scenes: 'mean' is the name of the tables' mean row; call it otherwise"
                )
            others = self.datasets.keys() - {name}
            if name in ("table1", "table2", "table3") or others & {
                name.removesuffix(ending) for ending in ("_scenes", "_sweep")
            }:
                raise ValueError(f"datasets.{name}: tables/{name}.md is another table; call the dataset otherwise")
            if dataset.layout == "blender" and dataset.levels != 1:
                raise ValueError(
                    f"datasets.{name}: a dataset with the layout blender has one resolution; set levels to 1, or "
                    "layout to multiscale"
                )
            if dataset.source == "bricks" and dataset.layout not in ("multiscale", "blender"):
                raise ValueError(f"datasets.{name}: bricks is a Blender scene; set layout to multiscale or blender")
            if dataset.source == "bricks" and (
                dataset.scenes != ["bricks"] or self.bricks.size % 2 ** (dataset.levels - 1)
            ):
                raise ValueError(
                    f"datasets.{name}: the source bricks has one scene, [bricks], and bricks.size {self.bricks.size} "
                    f"must be a multiple of {2 ** (dataset.levels - 1)} for {dataset.levels} levels"
                )
        return self

    @model_validator(mode="after")
    def _figures_have_names_of_their_own(self) -> Self:
        owners: dict[str, str] = {}
        scenes = sorted({scene for dataset in self.datasets.values() for scene in dataset.scenes})
        for name, scene in product(self.datasets, scenes):
            if (other := owners.setdefault(f"{name}_{scene}", name)) != name:
                raise ValueError(
                    f"datasets.{name}: plots/{name}_{scene}_strip.png may be of datasets.{other}; call it otherwise"
                )
        return self

    def scenes_of_sources(self) -> dict[str, list[str]]:
        """Every source but `bricks`, with all scenes that a dataset takes from it."""
        scenes: dict[str, list[str]] = {}
        for dataset in self.datasets.values():
            if dataset.source != "bricks":
                scenes.setdefault(dataset.source, []).extend(dataset.scenes)
        return scenes


class RunConfig(Section):
    """One training with all its values."""

    dataset: Name
    variant: VariantName
    scene: Name
    levels: int
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()

    @model_validator(mode="after")
    def _trains_on_levels_that_are_there(self) -> Self:
        if self.data.train_levels is not None and self.data.train_levels > self.levels:
            raise ValueError(f"data.train_levels {self.data.train_levels} must be at most the {self.levels} levels")
        return self

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        near, far = self.data.near, self.data.far
        if near is not None and far is not None and near >= far:
            raise ValueError(f"data.near {near} must be less than data.far {far}")
        if self.model.samples_disparity and near == 0:
            key = "lindisp" if self.model.lindisp else f"contraction {self.model.contraction}"
            raise ValueError(f"model.{key} divides by data.near: it must be positive")
        return self

    @model_validator(mode="after")
    def _a_box_holds_the_scene(self) -> Self:
        if self.data.box is not None and (self.model.contraction != "none" or self.model.ray_shape == "point"):
            raise ValueError(
                f"data.box does not go with model.contraction {self.model.contraction} and model.ray_shape "
                f"{self.model.ray_shape}: a scene with a background has no end, and the last point of NeRF's rays "
                "stands for all behind it; set data.box to null, or contraction to none and ray_shape to cone"
            )
        return self

    @model_validator(mode="after")
    def _data_know_of_the_contraction(self) -> Self:
        if self.model.contraction != "none" and not self.data.unbounded:
            # The model is frozen, but nobody has seen it yet.
            self.__dict__["data"] = self.data.model_copy(update={"unbounded": True})
        return self

    @property
    def name(self) -> str:
        """`dataset/variant/scene`, the folder of its results."""
        return f"{self.dataset}/{self.variant}/{self.scene}"

    def settings(self) -> list[str]:
        """All differences from the defaults as `section.key=value`, the form that `--set` takes."""
        return [
            f"{section}.{key}={value if isinstance(value, str) else json.dumps(value)}"
            for section in ("model", "train", "data")
            for key, value in getattr(self, section).model_dump(exclude_defaults=True).items()
        ]

    def training_settings(self) -> list[str]:
        """Those of `settings` that change the result of training."""
        ignored = tuple(f"data.{key}=" for key in (*EVALUATION_KEYS, *PHOTO_KEYS))
        return [setting for setting in self.settings() if not setting.startswith(ignored)]

    def fingerprint(self, *parts: str) -> str:
        """Sixteen hexadecimal digits that change with anything that changes the result of training."""
        values = [self.name, sorted(self.training_settings()), *parts]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def parse_config(values: Mapping[str, Any]) -> SuiteConfig:
    """`values`, as YAML gave them, checked; raises ConfigError that names key, value and what is allowed."""
    return validated(SuiteConfig, values)
