"""Paths compiled to msgspec records: JSON decodes straight into what is compared.

A record has a field for each name that a path contains, and no others, so everything else is
skipped. Where JSON holds another type than a path expects, the path has no value; such a type never
fails. The values are the ones that `paths.value_at` finds.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Union

import msgspec

from watcher.sources.http.paths import Index, Path, Selector, Step, text_of

Getter = Callable[[Any], Any]
"""Returns the value of a path in a decoded record; None where there is none."""


class _Object(msgspec.Struct, gc=False):
    """An object of which nothing is read."""


class _Node:
    """What paths expect at one place: members by name, and elements of a list."""

    def __init__(self) -> None:
        self.members: dict[str, _Node] = {}
        self.element: _Node | None = None
        self.fixed: Any = None
        self.record: type[msgspec.Struct] = _Object

    def follow(self, step: Step) -> "_Node":
        """Return the node of a step, which is created if necessary."""
        if isinstance(step, str):
            return self.members.setdefault(step, _Node())
        if self.element is None:
            self.element = _Node()
        if isinstance(step, Selector):
            self.element.members.setdefault(step.key, _Node())
        return self.element

    def compiled(self) -> Any:
        """Return the type that this node decodes to."""
        if self.fixed is not None:
            return self.fixed
        if self.members:
            fields = [
                (_field(number), child.compiled(), msgspec.field(default=None, name=name))
                for number, (name, child) in enumerate(self.members.items())
            ]
            self.record = msgspec.defstruct("Record", fields, gc=False)
        element: Any = msgspec.Raw if self.element is None else self.element.compiled()
        kinds = (self.record, list.__class_getitem__(element), str, int, float, bool, None)
        return Union.__getitem__(kinds)

    def field_of(self, name: str) -> str:
        return _field(list(self.members).index(name))


class Shape:
    """The record of some paths. `fixed` are paths of which the type is given.

    `type` is the record itself, for what has to be an object.
    """

    def __init__(self, paths: Iterable[Path], fixed: Mapping[Path, Any] | None = None) -> None:
        self._root = _Node()
        for path in (*paths, *(fixed or {})):
            self._node(path)
        for path, kind in (fixed or {}).items():
            self._node(path).fixed = kind
        self._root.compiled()
        self.type: type[msgspec.Struct] = self._root.record

    def getter(self, path: Path) -> Getter:
        """Return what reads the value of one of the paths from a record."""
        node, steps = self._root, list[Getter]()
        for step in path:
            steps.append(_reader(node, step))
            node = node.follow(step)
        if len(steps) == 1 and isinstance(path[0], str):
            return attrgetter(self._root.field_of(path[0]))
        return _chain(steps)

    def _node(self, path: Path) -> _Node:
        node = self._root
        for step in path:
            node = node.follow(step)
        return node


def first_of(getters: Iterable[Getter]) -> Getter:
    """Return what reads the first value that is not null."""
    readers = tuple(getters)
    if len(readers) == 1:
        return readers[0]

    def read(record: Any) -> Any:
        for reader in readers:
            if (value := reader(record)) is not None:
                return value
        return None

    return read


def _chain(readers: Iterable[Getter]) -> Getter:
    first, *others = readers

    def read(record: Any) -> Any:
        value = first(record)
        for reader in others:
            if value is None:
                return None
            value = reader(value)
        return value

    return read


def _reader(node: _Node, step: Step) -> Getter:
    if isinstance(step, str):
        return _member_reader(node.record, node.field_of(step))
    if isinstance(step, Index):
        position = step.position
        return lambda value: (
            value[position] if type(value) is list and position < len(value) else None
        )
    element = node.follow(step)
    key, wanted = _member_reader(element.record, element.field_of(step.key)), step.value

    def select(value: Any) -> Any:
        if type(value) is not list:
            return None
        return next((one for one in value if text_of(key(one)) == wanted), None)

    return select


def _member_reader(record: type[msgspec.Struct], field: str) -> Getter:
    read = attrgetter(field)
    return lambda value: read(value) if type(value) is record else None


def _field(number: int) -> str:
    return f"f{number}"
