"""Paths into JSON: `a.b[0].c[type=Failed]."odd.key"`. Pure.

A name is a member of an object, `[0]` an element of a list, and `[key=value]` the first element
whose member `key` is `value`. What is absent, null or of another type than the path expects has no
value.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 256
"""Characters of a path."""

_STEP = re.compile(
    r'\.?(?P<name>[^.\[\]"=\s]+)'
    r'|\.?"(?P<quoted>[^"]*)"'
    r"|\[(?P<index>\d{1,4})\]"
    r'|\[(?:"(?P<quoted_key>[^"]+)"|(?P<key>[^.\[\]"=\s]+))'
    r'=(?:"(?P<quoted_value>[^"]*)"|(?P<value>[^\[\]"=\s]+))\]'
)


@dataclass(frozen=True, slots=True)
class Index:
    """An element of a list by its position."""

    position: int


@dataclass(frozen=True, slots=True)
class Selector:
    """The first element of a list whose member `key` has this text."""

    key: str
    value: str


Step = str | Index | Selector
Path = tuple[Step, ...]


@lru_cache(maxsize=1024)
def parse_path(text: str) -> Path:
    """Return the steps of a path; the first is a name.

    Raises `ValueError` with the column, from 1 on, of what cannot be read.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a path has at most {LONGEST} characters")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (at == 0 and text[0] == "."):
            raise ValueError(_expected(text, at))
        step = _step(match)
        if isinstance(step, str) and at > 0 and text[at] != ".":
            raise ValueError(f"column {at + 1}: expected a dot before a name")
        if not isinstance(step, str) and at == 0:
            raise ValueError("column 1: expected a name")
        if isinstance(step, Selector) and any(isinstance(one, Selector) for one in steps):
            raise ValueError(f"column {at + 1}: expected one [key=value] at most")
        steps.append(step)
        at = match.end()
    if not steps:
        raise ValueError("column 1: expected a name")
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return Index(int(match["index"]))
    name = match["name"] if match["quoted"] is None else match["quoted"]
    if name is not None:
        return name
    value = match["value"] if match["quoted_value"] is None else match["quoted_value"]
    return Selector(match["key"] or match["quoted_key"], value)


def _expected(text: str, at: int) -> str:
    if text[at] == "[":
        return f"column {at + 1}: expected [number] or [key=value]"
    column = at + 2 if text[at] == "." and at else at + 1
    if text[column - 1 :].startswith('"'):
        return f"column {column}: expected a closing quote"
    return f'column {column}: expected a name; one with other characters is quoted: a."b c"'


def value_at(value: object, path: Path) -> object:
    """Return what `path` leads to in decoded JSON; None where there is nothing."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        elif not isinstance(value, list):
            return None
        elif isinstance(step, Index):
            value = value[step.position] if step.position < len(value) else None
        else:
            value = _selected(value, step)
    return value


def first_value(value: object, paths: Sequence[Path]) -> tuple[Path, object] | None:
    """Return the first of `paths` that leads to a value, and the value."""
    for path in paths:
        if (found := value_at(value, path)) is not None:
            return path, found
    return None


def _selected(elements: Sequence[object], selector: Selector) -> object:
    for element in elements:
        if isinstance(element, Mapping) and text_of(element.get(selector.key)) == selector.value:
            return element
    return None


def text_of(value: object) -> str | None:
    """Return a text, number or boolean as text, as JSON writes it; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def path_text(path: Path) -> str:
    """Return a path as users write it."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, Index):
            parts.append(f"[{step.position}]")
        elif isinstance(step, Selector):
            parts.append(f"[{_quoted(step.key)}={_quoted(step.value)}]")
        else:
            parts.append(f".{_quoted(step)}")
    return "".join(parts).removeprefix(".")


def _quoted(text: str) -> str:
    return text if re.fullmatch(r'[^.\[\]"=\s]+', text) else f'"{text}"'
