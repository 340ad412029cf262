"""Collects every error of a configuration, each with its place, so that a user can fix all at
once.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from watcher.configuration.sections import LISTS
from watcher.configuration.yaml_document import Document, Place, shown_key
from watcher.core.errors import ConfigurationError
from watcher.core.masking import Mask
from watcher.core.texts import REASON_LIMIT, cut, visible

PREFIX = "WATCHER_"
MOST = 100
"""Problems that are shown; more are counted."""
_LONGEST_KEY = 64
_SURROGATES = re.compile("[\ud800-\udfff]")


class Diagnostics:
    """The errors of one reading. Each names a line of the file, or the variable that a value came
    from.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._problems: list[str] = []
        self._secrets: list[str] = []
        self._variables: dict[Place, str] = {}

    def name(self, variable: str, place: Place, value: Any) -> None:
        """Note that the value at `place` comes from a variable.

        The keys of a mapping are noted one by one, because those of the file are added to them.
        """
        if isinstance(value, dict) and value:
            for key, member in value.items():
                self.name(variable, (*place, key), member)
        else:
            self._variables[place] = variable

    def hide(self, secret: Any) -> None:
        """Mask every text of a value in all errors: it may be in a wrong place, too."""
        if isinstance(secret, str):
            self._secrets += _SURROGATES.split(secret)
        elif isinstance(secret, list | dict):
            for member in secret.values() if isinstance(secret, dict) else secret:
                self.hide(member)

    def add(self, place: Place, text: str, *, key: str = "") -> None:
        """Add an error of the value at `place`, which its `key` causes."""
        where = self._where((*place, key) if key else place)
        self._problems.append(f"{where}{dotted(place)}: {text}")

    def add_unknown(self, place: Place, key: str, known: Iterable[str]) -> None:
        """Add an error of a key; it may be a secret whose colon or space is missing."""
        shown = (*place[:-1], shown_key(key))
        suggestion = nearest(key, known)
        self._problems.append(f"{self._where(place)}{dotted(shown)}: unknown key{suggestion}")

    def add_line(self, *lines: str) -> None:
        """Add errors that have no place in the file."""
        self._problems += lines

    def clear(self) -> None:
        """Forget all errors so far."""
        self._problems.clear()

    def raise_if_any(self, files: Iterable[Path]) -> None:
        """Raise `ConfigurationError` with all errors so far. `files` are those that were read."""
        if not self._problems:
            return
        mask = Mask(self._secrets)
        lines = [visible(cut(mask.text(line), REASON_LIMIT)) for line in self._problems[:MOST]]
        if (more := len(self._problems) - MOST) > 0:
            lines.append(f"and {more} more errors")
        raise ConfigurationError(lines, frozenset(files))

    def variable_of(self, place: Place) -> str | None:
        """Return the variable that the value at `place` comes from; None if it is the file's."""
        for length in range(len(place), 0, -1):
            if (variable := self._variables.get(place[:length])) is not None:
                return variable
        return None

    def _where(self, place: Place) -> str:
        if (variable := self.variable_of(place)) is not None:
            return f"{variable}: "
        if place not in self._document.lines and place[:-1] not in self._document.lines:
            # What is missing, or wrong together, is named by what variables set beside it.
            for around in (place, place[:-1]):
                for known, variable in self._variables.items():
                    if around and known[: len(around)] == around and known[0] not in LISTS:
                        return f"{variable}: "
        return self._document.where(place)


def dotted(place: Place) -> str:
    """Return `place` as users write it: `channels[0].url`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def variable_for(place: Place) -> str:
    """Return the variable that sets the value at `place`."""
    return f"{PREFIX}{'__'.join(str(key).upper() for key in place)}"


def nearest(key: str, known: Iterable[str]) -> str:
    """Return a suggestion for a misspelt key, or nothing."""
    if len(key) > _LONGEST_KEY:
        return ""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
