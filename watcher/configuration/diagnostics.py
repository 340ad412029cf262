"""Collects every error of a configuration, each with its place, so that a user can fix all at
once.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from watcher.configuration.yaml_document import Document, Place
from watcher.core.errors import ConfigurationError

PREFIX = "WATCHER_"


class Diagnostics:
    """The errors of one reading. Each names a line of the file, or the variable that a value came
    from.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[str] = []
        self.from_environment: Mapping[str, Any] = {}
        """Values of environment variables, nested like the file."""
        self.variables: dict[Place, str] = {}
        """Variables of values whose names are not those of their places."""

    def add(self, place: Place, text: str) -> None:
        """Add an error of the value at `place`."""
        self._problems.append(f"{self._where(place)}{dotted(place)}: {text}")

    def add_unknown(self, place: Place, key: str, known: Iterable[str]) -> None:
        self.add(place, f"unknown key{nearest(key, known)}")

    def add_line(self, *lines: str) -> None:
        """Add errors that have no place in the file."""
        self._problems += lines

    def clear(self) -> None:
        """Forget all errors so far."""
        self._problems.clear()

    def raise_if_any(self, files: Iterable[Path]) -> None:
        """Raise `ConfigurationError` with all errors so far. `files` are those that were read."""
        if self._problems:
            raise ConfigurationError(self._problems, frozenset(files))

    def _where(self, place: Place) -> str:
        value: Any = self.from_environment
        for key in place:
            if not isinstance(value, dict) or key not in value:
                return self._document.where(place)
            value = value[key]
        if place in self.variables:
            return f"{self.variables[place]}: "
        return f"{PREFIX}{'__'.join(str(key).upper() for key in place)}: "


def dotted(place: Place) -> str:
    """Return `place` as users write it: `channels[0].url`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def nearest(key: str, known: Iterable[str]) -> str:
    """Return a suggestion for a misspelt key, or nothing."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
