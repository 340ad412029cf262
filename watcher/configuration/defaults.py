"""Defaults that depend on the machine, or on what is installed."""

import os
from collections.abc import Mapping
from pathlib import Path

DEFAULT_FILE = Path("/etc/watcher/watcher.yaml")
DEFAULT_SOURCE_TYPE = "mixpeek"
"""The type of a source that names none."""

_PRESET_SOURCE_TYPE = "http"
"""The type of a source that has a preset and names no type."""

_STORE = Path("/var/lib/watcher/watcher.db")


def source_type(item: object) -> str:
    """Return the type of a source that names none."""
    has_preset = isinstance(item, dict) and "preset" in item
    return _PRESET_SOURCE_TYPE if has_preset else DEFAULT_SOURCE_TYPE


def find_file(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the option, else `WATCHER_CONFIG`, else the one in /etc if it
    exists.
    """
    if option is not None:
        return option
    if path := environ.get("WATCHER_CONFIG"):
        return Path(path)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def default_store(environ: Mapping[str, str]) -> str:
    """Return the URL of the store in /var/lib, or in the user's state folder if that is not
    writable.
    """
    folder = _STORE.parent
    existing = folder if folder.exists() else folder.parent
    states = _state_folder(environ)
    if states is None or os.access(existing, os.W_OK):
        return f"sqlite:///{_STORE}"
    return f"sqlite:///{states / 'watcher' / 'watcher.db'}"


def _state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder for state of this user's programs; None for a user without a home, as in a
    container.
    """
    if states := environ.get("XDG_STATE_HOME"):
        return Path(states)
    try:
        return Path(environ.get("HOME") or Path.home(), ".local", "state")
    except RuntimeError:
        return None
