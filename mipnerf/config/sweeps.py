"""Several values of a hyper-parameter: the combinations that are run, and what each adds to the name of its variant."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, create_model, model_validator

from mipnerf.config.sections import Section

SECTIONS = ("model", "train", "data")
MAX_LETTERS = 150  # of what is added to a name; a file's may have 255
NOT_SWEPT = {
    "train.seed": "give `seeds` beside `sweeps`",
    "data.layout": "it is the dataset's",
    "data.box": "make a variant with each",
    "data.unbounded": "it follows from model.contraction",
    "data.max_test_views": "it changes what is evaluated, not what is trained; make a variant with `model_of`",
    "data.supersample": "it changes what is evaluated, not what is trained; make a variant with `model_of`",
}
# Of a variant's name: no name in the configuration has these characters.
SWEPT = r"(?:-[a-z][a-z0-9_]*=[a-z0-9_.-]+)*"
_ONE = re.compile(r"-([a-z][a-z0-9_]*)=([a-z0-9_.-]+?)(?=-[a-z][a-z0-9_]*=|$)")
Value = bool | int | float | str | None


class Combination(NamedTuple):
    """What it adds to the name of a variant, such as `-lr_init=0.001-batch_size=512`, and its values by section."""

    suffix: str
    values: dict[str, dict[str, Value]]


class Sweeps(Section):
    """Values of which every variant of an entry of `runs` is trained with each."""

    combine: Literal["grid", "list"] = Field(
        "grid", description="grid: every value with all others; list: the first of all, the second of all, ..."
    )

    @model_validator(mode="before")
    @classmethod
    def _can_be_swept(cls, values: Any) -> Any:
        for name, reason in NOT_SWEPT.items():
            section, key = name.split(".")
            part = values.get(section) if isinstance(values, Mapping) else None
            if isinstance(part, Mapping) and key in part:
                raise ValueError(f"{name} cannot be swept: {reason}")
        return values

    @model_validator(mode="after")
    def _can_be_combined(self) -> Self:
        lists = self.lists()
        if not lists:
            raise ValueError("no values are given; name some, such as `train: {lr_init: [1.0e-3, 2.0e-3]}`")
        if self.combine == "list" and len({len(values) for values in lists.values()}) > 1:
            lengths = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
            raise ValueError(f"the lists differ in length: {lengths}; make them equally long, or set combine to grid")
        # Of a grid, no value of a key may come again; of lists, no row of values.
        if self.combine == "list":
            rows = {" with ".join(lists): list(zip(*lists.values(), strict=True))}
        else:
            rows = {name: [(value,) for value in values] for name, values in lists.items()}
        for name, chosen in rows.items():
            if twice := [row for i, row in enumerate(chosen) if row in chosen[:i]]:
                text = " with ".join(map(text_of, twice[0]))
                raise ValueError(f"{name} names {text} twice; a run with the same values is the same run")
        longest = max(len(combination.suffix) for combination in self.combinations())
        if longest > MAX_LETTERS:
            raise ValueError(
                f"the names of its runs would grow by {longest} letters, of at most {MAX_LETTERS}; sweep fewer keys, "
                "or make variants of your own"
            )
        return self

    def lists(self) -> dict[str, list[Value]]:
        """The values of each swept key, by `section.key`."""
        return {
            f"{section}.{key}": values
            for section in SECTIONS
            for key, values in getattr(self, section).model_dump(exclude_unset=True).items()
        }

    def combinations(self) -> Iterator[Combination]:
        """All that are run, in order: of keys, that of their definition; with `grid`, the last changes fastest."""
        lists = self.lists()
        combined = itertools.product(*lists.values()) if self.combine == "grid" else zip(*lists.values(), strict=True)
        for chosen in combined:
            values: dict[str, dict[str, Value]] = {}
            for name, value in zip(lists, chosen, strict=True):
                section, key = name.split(".")
                values.setdefault(section, {})[key] = value
            yield Combination(sweep_name(values), values)


def sweeps_of(**sections: type[Section]) -> type[Sweeps]:
    """`Sweeps` over the keys of `sections`, each with a list of what the key may be."""
    fields: dict[str, Any] = {}
    for name, section in sections.items():
        lists: dict[str, Any] = {}
        for key, field in section.model_fields.items():
            if f"{name}.{key}" not in NOT_SWEPT:
                kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
                about: Any = Field(default_factory=list, min_length=1, description=field.description)
                lists[key] = (list[kind], about)  # type: ignore[valid-type]
        swept = create_model(f"{section.__name__}Sweeps", __base__=Section, **lists)
        fields[name] = (swept, swept())
    return create_model("SweepsConfig", __base__=Sweeps, __doc__=Sweeps.__doc__, **fields)


def sweep_name(values: Mapping[str, Mapping[str, Value]]) -> str:
    """What values by section add to the name of a variant; keys of different sections have different names."""
    return "".join(f"-{key}={text_of(value)}" for part in values.values() for key, value in part.items())


def text_of(value: Value) -> str:
    """A value as names have it: `0.001`, `1e-06`, `512`, `true`, `null`, `relu`."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0").replace("e+", "e")
    return value if isinstance(value, str) else json.dumps(value)


def split_sweep(variant: str) -> tuple[str, str]:
    """A variant's name without its seed: the name in the configuration, and what a sweep adds to it, or nothing."""
    configured, dash, rest = variant.partition("-")
    return configured, dash + rest


def swept_values(variant: str) -> dict[str, Value]:
    """The values of swept keys that a variant's name, without its seed, tells: `{"lr_init": 0.001}`."""
    return {key: _value_of(text) for key, text in _ONE.findall(split_sweep(variant)[1])}


def _value_of(text: str) -> Value:
    try:
        value: Value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value
