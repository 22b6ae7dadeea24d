"""What a package offers under its own name, loaded where it is asked for: that may take torch, and seconds."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def face(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a `package` whose names are in the modules below it that `places` says."""

    def __getattr__(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{places[name]}"), name)

    return __getattr__
