"""Finds sources, stores and channels by the names of their modules, so that no core code imports
one.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Literal

from watcher.core.errors import ConfigurationError

Folder = Literal["sources", "stores", "channels"]


def names(folder: Folder) -> list[str]:
    package = importlib.import_module(f"watcher.{folder}")
    return sorted(
        one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")
    )


def load(folder: Folder, name: str) -> ModuleType:
    """Return the module of the plugin `name`. Raises `ConfigurationError` if it does not exist."""
    known = names(folder)
    if name not in known:
        kind = folder.removesuffix("s")
        raise ConfigurationError(
            [f"unknown {kind} type {name!r}; expected one of: {', '.join(known)}"]
        )
    return importlib.import_module(f"watcher.{folder}.{name}")
