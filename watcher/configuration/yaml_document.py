"""A YAML file as plain values, with the line of every key, so that an error can say where it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from watcher.core.errors import ConfigurationError

Place = tuple[str | int, ...]
"""Where a value is: keys and positions from the root, such as `("channels", 0, "url")`."""

_LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file's values and where they stand; `name` is empty for a document that no file holds."""

    name: str
    values: dict[str, Any]
    lines: dict[Place, int]

    def where(self, place: Place) -> str:
        """Return `file:line: ` of the value at `place`, or of what it stands in."""
        while place and place not in self.lines:
            place = place[:-1]
        return (
            f"{self.name}:{self.lines[place]}: " if place else f"{self.name}: " if self.name else ""
        )


EMPTY = Document(name="", values={}, lines={})


def read(path: Path) -> Document:
    """Return the document in the file at `path`.

    Raises `ConfigurationError` if it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ConfigurationError([f"cannot read {path}: {error.strerror}"]) from None
    if len(content) > _LONGEST:
        raise ConfigurationError([f"{path}: longer than {_LONGEST >> 20} MiB"])
    try:
        return _parse(path.name, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: not valid UTF-8"]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax_error(path.name, error)]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([f"{path.name}: invalid YAML: {type(error).__name__}"]) from None


def _parse(name: str, text: str) -> Document:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(name=name, values={}, lines={})
        if not isinstance(node, yaml.MappingNode):
            raise ConfigurationError([f"{name}: expected `key: value` lines"])
        lines: dict[Place, int] = {}
        duplicates: list[str] = []
        _mark(node, (), lines, duplicates, set())
        if duplicates:
            raise ConfigurationError([f"{name}:{duplicate}" for duplicate in duplicates])
        values = loader.construct_document(node)
    finally:
        loader.dispose()
    return Document(
        name=name, values={str(key): value for key, value in values.items()}, lines=lines
    )


def _mark(
    node: yaml.Node, place: Place, lines: dict[Place, int], duplicates: list[str], seen: set[int]
) -> None:
    if id(node) in seen:
        return  # an alias of a node that has been marked
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*place, position)] = item.start_mark.line + 1
            _mark(item, (*place, position), lines, duplicates, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            line = key.start_mark.line + 1
            if inner in lines and key.value != "<<":
                duplicates.append(
                    f"{line}: {key.value}: duplicate key, first on line {lines[inner]}"
                )
            lines[inner] = line
            _mark(value, inner, lines, duplicates, seen)


def _syntax_error(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "invalid YAML"
    return f"{name}:{mark.line + 1}: {problem}" if mark else f"{name}: {problem}"
