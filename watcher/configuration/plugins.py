"""Finds a source, a store or a channel by the name of its module, so that core code names none of them."""

import importlib
import pkgutil
from types import ModuleType
from typing import Literal

from watcher.core.errors import ConfigurationError

Folder = Literal["sources", "stores", "channels"]


def names(folder: Folder) -> list[str]:
    """Return the names of the implementations in `folder`, sorted."""
    package = importlib.import_module(f"watcher.{folder}")
    return sorted(
        one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")
    )


def load(folder: Folder, name: str) -> ModuleType:
    """Return the module of the implementation called `name`.

    Raises `ConfigurationError` where there is none of that name.
    """
    known = names(folder)
    if name not in known:
        kind = folder.removesuffix("s")
        raise ConfigurationError(
            [f"there is no {kind} of type {name!r}; known: {', '.join(known)}"]
        )
    return importlib.import_module(f"watcher.{folder}.{name}")
