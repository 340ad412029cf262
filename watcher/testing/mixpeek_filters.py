"""The list filters of the task API, as a made-up upstream evaluates them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_GROUPS = ("AND", "OR", "NOT")


class FilterError(ValueError):
    """A filter that the API refuses."""


def _text(value: Any, folded: bool) -> Any:
    return value.casefold() if folded and isinstance(value, str) else value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def safe(left: Any, right: Any) -> bool:
        try:
            return compare(left, right)
        except TypeError:
            return False

    return safe


def _words(value: Any) -> set[str]:
    return set(re.findall(r"\w+", str(value)))


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": _ordered(lambda left, right: left > right),
    "lt": _ordered(lambda left, right: left < right),
    "gte": _ordered(lambda left, right: left >= right),
    "lte": _ordered(lambda left, right: left <= right),
    "in": lambda left, right: left in right,
    "nin": lambda left, right: left not in right,
    "contains": _ordered(lambda left, right: right in left),
    "starts_with": lambda left, right: str(left).startswith(str(right)),
    "ends_with": lambda left, right: str(left).endswith(str(right)),
    "regex": lambda left, right: re.search(str(right), str(left)) is not None,
    "exists": lambda left, right: (left is not None) == bool(right),
    "is_null": lambda left, right: (left is None) == bool(right),
    "text": lambda left, right: str(right) in str(left),
    "phrase": lambda left, right: str(right) in str(left),
    "words": lambda left, right: _words(right) <= _words(left),
}


def matcher(filters: Any) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether an item matches. Raises `FilterError` for what the API refuses."""
    if not isinstance(filters, Mapping):
        raise FilterError("filters: Input should be a valid dictionary")
    folded = not filters.get("case_sensitive", False)
    tests = [_group(name, filters[name], folded) for name in _GROUPS if name in filters]
    shorthand = [name for name in filters if name not in (*_GROUPS, "case_sensitive")]
    tests += [
        _condition({"field": name, "operator": "eq", "value": filters[name]}, folded)
        for name in shorthand
    ]
    return lambda item: all(test(item) for test in tests)


def _group(name: str, members: Any, folded: bool) -> Callable[[Mapping[str, Any]], bool]:
    if not isinstance(members, Sequence) or isinstance(members, str):
        raise FilterError(f"filters.{name}: Input should be a valid list")
    tests = [
        _condition(one, folded) if isinstance(one, Mapping) and "field" in one else matcher(one)
        for one in members
    ]
    if name == "AND":
        return lambda item: all(test(item) for test in tests)
    if name == "OR":
        return lambda item: any(test(item) for test in tests)
    return lambda item: not any(test(item) for test in tests)


def _condition(given: Mapping[str, Any], folded: bool) -> Callable[[Mapping[str, Any]], bool]:
    operator = given.get("operator", "eq")
    if operator not in _OPERATORS or given.keys() - {
        "field",
        "operator",
        "value",
        "case_sensitive",
    }:
        raise FilterError(f"filters: operator {operator!r} is not known, or a key is")
    expected = given.get("value")
    if operator in ("in", "nin"):
        if not isinstance(expected, list):
            raise FilterError(f"filters: {operator} wants a list")
        expected = frozenset(_text(one, folded) for one in expected)
    else:
        expected = _text(expected, folded)
    test, path = _OPERATORS[operator], str(given["field"]).split(".")
    return lambda item: test(_text(_value(item, path), folded), expected)


def _value(item: Any, path: Sequence[str]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, Mapping) else None
    return item
