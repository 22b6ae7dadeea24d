"""Checked values, and what to say about those that are wrong: which one, where, and what is allowed."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mipnerf.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def lookup(known: Mapping[str, Any], name: str, where: str) -> Any:
    """`known[name]`; `ConfigError`, begun by `where`, that names the nearest and all others if it is not there."""
    if name not in known:
        raise ConfigError(f"{where}: {name!r} is unknown{_suggestion(name, known)}; known are {', '.join(known)}")
    return known[name]


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def validated(model: type[Model], values: Mapping[str, Any], where: str = "") -> Model:
    """`values` as a `model`; `ConfigError` with one line for each mistake, begun by `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_describe(model, problem, where) for problem in error.errors()]
        raise ConfigError("\n  ".join(["the configuration is not valid:", *problems])) from None


def _describe(model: type[BaseModel], problem: Mapping[str, Any], where: str) -> str:
    """One line for one mistake: where, which value, what is allowed."""
    # Pydantic adds the branch of a union that it tried; only keys and positions are of use to a reader.
    path = [str(part) for part in problem["loc"] if not str(part).startswith(("list[", "constrained-", "literal["))]
    location = ": ".join(part for part in (where, ".".join(path)) if part)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return f"{location} is an unknown key{_suggestion(path[-1], known)}; allowed are {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{location} is missing"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    hint = ""
    if problem["type"] == "string_pattern_mismatch":
        message = "it should consist of lower-case letters, digits and _ (rename the folder of a scene if need be)"
    if isinstance(problem["input"], str) and "number" in message:
        hint = " (YAML reads 5e-4 as a word: write 5.0e-4)"
    if problem["type"] == "value_error":
        return f"{location}: {message}" if location else message
    return f"{location} is {problem['input']!r}: {message[0].lower()}{message[1:]}{hint}"


def _arguments(annotation: Any) -> Iterator[Any]:
    """`annotation` and all that it is made of, such as the B of dict[A, list[B]]."""
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _arguments(argument)


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> dict[str, Any]:
    """The keys that are allowed at `path` below `model`."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        annotation = fields[part].annotation if part in fields else current
        current = next((c for c in _arguments(annotation) if isinstance(c, type) and issubclass(c, BaseModel)), current)
    return dict.fromkeys(getattr(current, "model_fields", {}))
