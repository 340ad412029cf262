"""Paths: what they lead to, what is wrong with one, and that compiled records agree."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.sources.http.paths import (
    Index,
    Path,
    Selector,
    parse_path,
    path_text,
    text_of,
    value_at,
)
from watcher.sources.http.shapes import Shape

ITEM = {
    "id": 9007199254740993,
    "state": {"result": "SUCCESS", "odd.key": "x"},
    "errors": {"data": [{"message": "boom"}, {"message": "later"}]},
    "conditions": [{"type": "Complete", "n": 1}, {"type": "Failed", "message": "no memory"}],
    "done": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("id", 9007199254740993),
        ("state.result", "SUCCESS"),
        ('state."odd.key"', "x"),
        ("errors.data[1].message", "later"),
        ("conditions[type=Failed].message", "no memory"),
        ("conditions[n=1].type", "Complete"),
        ("done", True),
        ("nothing", None),
        ("nothing.deeper", None),
        ("state[0]", None),
        ("errors.data.message", None),
        ("errors.data[2].message", None),
        ("conditions[type=Other].message", None),
        ("id.x", None),
    ],
)
def test_a_path_leads_to_its_value(text: str, value: object) -> None:
    path = parse_path(text)
    shape = Shape([path])
    record = msgspec.json.decode(json.dumps(ITEM), type=shape.type)
    assert value_at(ITEM, path) == value
    assert shape.getter(path)(record) == value
    assert path_text(path) == text


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        (".a", 1),
        ("[0].a", 1),
        ("a..b", 3),
        ("a.", 3),
        ("a b", 2),
        ("a[b", 2),
        ("a[-1]", 2),
        ("a[12345]", 2),
        ('a."b', 3),
        ('a"b"', 2),
        ("a[0]b", 5),
        ("a[x=1].b[y=2]", 9),
        ("a | b", 2),
        ("$.a[*]", 4),
    ],
)
def test_an_invalid_path_names_its_column(text: str, column: int) -> None:
    with pytest.raises(ValueError, match=f"^column {column}: "):
        parse_path(text)


def test_a_path_is_bounded() -> None:
    with pytest.raises(ValueError, match="256"):
        parse_path("a" * 257)


names = st.sampled_from(["a", "b", "c d", "type", 'ü"'.replace('"', "")])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "y", "1", "true", ""])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=25,
)
steps = names | st.integers(0, 2).map(Index) | st.builds(Selector, names, st.sampled_from("x1"))


@st.composite
def paths(draw: st.DrawFn) -> Path:
    first, others = draw(names), draw(st.lists(steps, max_size=4))
    selectors = [one for one in others if isinstance(one, Selector)]
    return (first, *(one for one in others if one not in selectors[1:]))


def _without_containers(value: Any) -> Any:
    """Return what is compared: a text, a number, a boolean; any object or list is only there."""
    return value if value is None or text_of(value) is not None else "(there)"


@given(st.dictionaries(names, documents, max_size=4), st.lists(paths(), min_size=1, max_size=6))
def test_records_hold_what_the_paths_lead_to(document: dict[str, Any], some: list[Path]) -> None:
    shape = Shape(some)
    record = msgspec.json.decode(json.dumps(document), type=shape.type)
    plain = msgspec.json.decode(json.dumps(document))
    for path in some:
        found = _without_containers(shape.getter(path)(record))
        assert found == _without_containers(value_at(plain, path))
        assert type(found) is type(_without_containers(value_at(plain, path)))


@given(paths())
def test_a_written_path_is_read_again(path: Path) -> None:
    assert parse_path(path_text(path)) == path


@given(st.text(max_size=30) | st.text('ab.[]="0 ', max_size=12))
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    try:
        path = parse_path(text)
    except ValueError:
        return
    assert path
    assert value_at({}, path) is None
