"""The filters of the task list, evaluated as the API does."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_GROUPS = ("AND", "OR", "NOT")

Test = Callable[[Mapping[str, Any]], bool]
"""Returns whether an item matches."""


class FilterError(ValueError):
    """A filter that the API rejects."""


def _text(value: Any, ignore_case: bool) -> Any:
    return value.casefold() if ignore_case and isinstance(value, str) else value


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


def matcher(filters: Any) -> Test:
    """Return a predicate over items. Raises `FilterError` for a filter that the API rejects."""
    if not isinstance(filters, Mapping):
        raise FilterError("filters: Input should be a valid dictionary")
    ignore_case = not filters.get("case_sensitive", False)
    tests = [_group(name, filters[name], ignore_case) for name in _GROUPS if name in filters]
    shorthand = [name for name in filters if name not in (*_GROUPS, "case_sensitive")]
    tests += [
        _condition({"field": name, "operator": "eq", "value": filters[name]}, ignore_case)
        for name in shorthand
    ]
    return _every(tests)


def required_ids(filters: Any) -> frozenset[str] | None:
    """Return task IDs, without case, one of which every matching item has; None without any. The
    filters are such that `matcher` accepts them.
    """
    found = [_required_by(name, members) for name, members in filters.items() if name in _GROUPS]
    return min((ids for ids in found if ids is not None), key=len, default=None)


def _required_by(group: str, members: Sequence[Any]) -> frozenset[str] | None:
    if group == "NOT":
        return None
    found = [_ids_of(member) for member in members]
    ids = [one for one in found if one is not None]
    if group == "AND":
        return min(ids, key=len, default=None)
    return frozenset[str]().union(*ids) if len(ids) == len(found) else None


def _ids_of(member: Any) -> frozenset[str] | None:
    if "field" not in member:
        return required_ids(member)
    if (member["field"], member.get("operator")) != ("task_id", "in"):
        return None
    return frozenset(str(value).casefold() for value in member["value"])


def _every(tests: Sequence[Test]) -> Test:
    """Return whether all of `tests` hold; one alone, the usual case, is called directly."""
    return tests[0] if len(tests) == 1 else lambda item: all(test(item) for test in tests)


def _group(name: str, members: Any, ignore_case: bool) -> Test:
    if not isinstance(members, Sequence) or isinstance(members, str):
        raise FilterError(f"filters.{name}: Input should be a valid list")
    tests = [
        _condition(member, ignore_case)
        if isinstance(member, Mapping) and "field" in member
        else matcher(member)
        for member in members
    ]
    if name == "AND":
        return _every(tests)
    if name == "OR":
        return lambda item: any(test(item) for test in tests)
    return lambda item: not any(test(item) for test in tests)


def _condition(condition: Mapping[str, Any], ignore_case: bool) -> Test:
    operator = condition.get("operator", "eq")
    if operator not in _OPERATORS or condition.keys() - {
        "field",
        "operator",
        "value",
        "case_sensitive",
    }:
        raise FilterError(f"filters: unknown operator {operator!r} or key")
    expected = condition.get("value")
    if operator in ("in", "nin"):
        if not isinstance(expected, list):
            raise FilterError(f"filters: {operator} needs a list")
        expected = frozenset(_text(value, ignore_case) for value in expected)
    else:
        expected = _text(expected, ignore_case)
    test, field = _OPERATORS[operator], str(condition["field"])
    if "." not in field:
        return lambda item: test(_text(item.get(field), ignore_case), expected)
    path = field.split(".")
    return lambda item: test(_text(value_at(item, path), ignore_case), expected)


def value_at(item: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of names; None where there is none."""
    for name in path:
        item = item.get(name) if isinstance(item, Mapping) else None
    return item
