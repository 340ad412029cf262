"""Finds sources, stores and channels by the names of their modules, so that no core code imports
one.
"""

import importlib
import pkgutil
import re
from types import ModuleType
from typing import Literal

from watcher.core.errors import ConfigurationError

_WORD = re.compile(r"[A-Za-z_-]{0,20}")
"""Anything else could be a secret in a wrong place."""

_SCHEMES = {"postgres": "postgresql"}
"""Other schemes in URLs of stores: many hosting providers write this one."""

Folder = Literal["sources", "stores", "channels"]


def names(folder: Folder) -> list[str]:
    package = importlib.import_module(f"watcher.{folder}")
    return sorted(
        one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")
    )


def load_store(url: str) -> ModuleType:
    """Return the plugin for a store's URL. Raises as `load` does."""
    scheme = url.partition(":")[0]
    return load("stores", _SCHEMES.get(scheme, scheme))


def load(folder: Folder, name: str) -> ModuleType:
    """Return the module of the plugin `name`.

    Raises `ConfigurationError` if it does not exist, or needs a package that is not installed.
    """
    known = names(folder)
    if name not in known:
        kind = folder.removesuffix("s")
        shown = f" {name!r}" if _WORD.fullmatch(name) else ""
        raise ConfigurationError(
            [f"unknown {kind} type{shown}; expected one of: {', '.join(known)}"]
        )
    try:
        return importlib.import_module(f"watcher.{folder}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("watcher"):
            raise
        advice = f"install mixpeek-watcher[{name}]"
        raise ConfigurationError([f"type {name!r} needs {error.name}: {advice}"]) from None
