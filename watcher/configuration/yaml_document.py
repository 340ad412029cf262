"""A YAML file as plain values, with the line of every key, so that an error can say where it is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from watcher.core.errors import ConfigurationError

Place = tuple[str | int, ...]
"""Where a value is: keys and positions from the root, such as `("channels", 0, "url")`."""

_LONGEST = 1024 * 1024
DEEPEST = 50
"""Levels of lists and mappings."""
_MOST_VALUES = 50_000
"""Values of a document, each alias counted as what it stands for; reading so many takes a second or
two."""

_KEY = re.compile(r"[\w.*-]{1,40}")
_FIRST_WORD = re.compile(r"\w{0,20}")
_QUOTED = re.compile(r"'(?!<)[^']{3,}'|\"[^\"]{3,}\"")
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG + name
    for name in ("null", "bool", "int", "float", "timestamp", "str", "seq", "map", "merge")
)
"""The types that JSON has too, and moments."""


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


def shown_key(key: str) -> str:
    """Return a key for a message; the first word of what does not look like one."""
    if _KEY.fullmatch(key):
        return key
    found = _FIRST_WORD.match(key)
    return f"{found[0] if found else ''}…"


def read(path: Path) -> Document:
    """Return the document in the file at `path`.

    Raises `ConfigurationError` if it cannot be read, is not YAML, or is not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ConfigurationError([f"cannot read {path}: {error.strerror}"]) from None
    except ValueError:
        raise ConfigurationError(["cannot read the file: its path is invalid"]) from None
    if len(content) > _LONGEST:
        raise ConfigurationError([f"{path}: longer than {_LONGEST >> 20} MiB"])
    try:
        return _parse(path.name, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: not valid UTF-8"]) from None
    except yaml.reader.ReaderError as error:
        line, code = content[: error.position].count(b"\n") + 1, error.character
        fault = f"contains the character U+{code:04X}, which YAML forbids"
        raise ConfigurationError([f"{path.name}:{line}: {fault}"]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax_error(path.name, error)]) from None
    except RecursionError:
        raise ConfigurationError([f"{path.name}: nested too deeply"]) from None


def _parse(name: str, text: str) -> Document:
    _check_size(name, text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(name=name, values={}, lines={})
        if not isinstance(node, yaml.MappingNode):
            raise ConfigurationError([f"{name}: expected `key: value` lines"])
        _Size().of(node)
        lines: dict[Place, int] = {}
        duplicates: list[str] = []
        _mark(node, (), lines, duplicates, set())
        if duplicates:
            raise ConfigurationError([f"{name}:{duplicate}" for duplicate in duplicates[:100]])
        values = loader.construct_document(node)
    finally:
        loader.dispose()
    return Document(
        name=name, values={str(key): value for key, value in values.items()}, lines=lines
    )


def _check_size(name: str, text: str) -> None:
    """Raise `ConfigurationError` for too many or too deep values, before any of them is read.

    Only the C parser's events are looked at: they take a tenth of the time, and no recursion.
    """
    depth = values = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            values += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST or values > _MOST_VALUES:
                fault = (
                    f"nested deeper than {DEEPEST} levels"
                    if depth > DEEPEST
                    else f"more than {_MOST_VALUES:,} values"
                )
                line = 0 if event.start_mark is None else event.start_mark.line
                raise ConfigurationError([f"{name}:{line + 1}: {fault}"])
    except yaml.YAMLError:
        return  # `_Loader` finds it as well, and its text is the one that is shown


class _Loader(yaml.SafeLoader):
    """Reads what JSON has too, and moments; each error has its line and nothing of the text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _TAGS:
            raise _fault(node, "text that begins with !, or is =, has to be in quotes")
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            kind = node.tag.removeprefix(_TAG)
            raise _fault(node, f"not a valid {kind}; put text in quotes") from None
        return _joined(value, node) if isinstance(value, str) else value


def _joined(text: str, node: yaml.Node) -> str:
    """Return `text` with its surrogate pairs joined: JSON writes them for what is beyond U+FFFF."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    try:
        return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    except UnicodeDecodeError:
        raise _fault(node, "contains half a surrogate pair") from None


class _Size:
    """Counts the values of nodes; raises where aliases make them too many, too deep or endless."""

    def __init__(self) -> None:
        self._counted: dict[int, int] = {}
        self._within: set[int] = set()

    def of(self, node: yaml.Node) -> int:
        key = id(node)
        if key in self._within:
            raise _fault(node, "contains itself")
        if len(self._within) > DEEPEST:
            raise _fault(node, f"nested deeper than {DEEPEST} levels")
        if key not in self._counted:
            self._within.add(key)
            self._counted[key] = 1 + sum(map(self.of, _members(node)))
            self._within.remove(key)
        if self._counted[key] > _MOST_VALUES:
            raise _fault(node, f"its aliases stand for more than {_MOST_VALUES:,} values")
        return self._counted[key]


def _members(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return []


def _fault(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


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
                    f"{line}: {shown_key(str(key.value))}: duplicate key, "
                    f"first on line {lines[inner]}"
                )
            lines[inner] = line
            _mark(value, inner, lines, duplicates, seen)


def _syntax_error(name: str, error: yaml.YAMLError) -> str:
    """Return where and what the error is, without any text of the file: it may be a secret."""
    mark = getattr(error, "problem_mark", None)
    problem = _QUOTED.sub("…", getattr(error, "problem", None) or "invalid YAML")
    if any(cause in problem for cause in ("undefined", "start any token", "for the tag")):
        problem += "; text that begins with one of *&!%@` has to be in quotes"
    return f"{name}:{mark.line + 1}: {problem}" if mark else f"{name}: {problem}"
