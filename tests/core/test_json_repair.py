"""Any JSON with any bad values: what can be represented stays, and the rest is null and named."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.json_repair import elements, is_deep, is_suspicious, members, repaired

BAD = [b"NaN", b"-Infinity", b'"\\ud83d"', b'"\xff\xfe"', b"9" * 400, b"1e999", b"01", b'"\x01"']

names = st.text(st.characters(exclude_characters=".[]", exclude_categories=["Cs"]), max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_stays_as_it_is(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    kept, unreadable = repaired(text)
    assert json.loads(kept) == value
    assert not unreadable


@given(values, st.sampled_from(BAD), values)
def test_a_bad_value_is_null_and_spoils_nothing_else(before: Any, bad: bytes, after: Any) -> None:
    text = b'{"before": %s, "deep": [1, {"bad": %s}], "after": %s}' % (
        json.dumps(before).encode(),
        bad,
        json.dumps(after).encode(),
    )
    kept, unreadable = repaired(text)
    content = json.loads(kept)
    assert content["deep"] == [1, {"bad": None}]
    assert "deep[1].bad" in unreadable
    if not is_suspicious(json.dumps([before, after]).encode()):
        assert (content["before"], content["after"]) == (before, after)


@pytest.mark.parametrize("nest", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"q":', b"}]")])
def test_endless_nesting_is_cut(nest: tuple[bytes, bytes]) -> None:
    text = b'{"x": %s1%s, "y": 2}' % (nest[0] * 5000, nest[1] * 5000)
    kept, unreadable = repaired(text)
    assert json.loads(kept)["y"] == 2
    assert len(unreadable) == 1
    assert unreadable[0].startswith("x")
    assert is_deep(text)
    assert not is_deep(kept)
    assert not is_deep(b"[" + b"[1]," * 5000 + b"1]")


@given(st.binary(max_size=200))
def test_any_bytes_are_repaired_or_rejected(text: bytes) -> None:
    for function in (repaired, members, elements):
        with suppress(ValueError):
            function(text)


@pytest.mark.parametrize("text", [b'"' * 200_000, b'["' + b"\\" * 200_001, b"[" * 200_000])
def test_hostile_text_takes_linear_time(text: bytes) -> None:
    for function in (repaired, members, elements):
        with suppress(ValueError):
            function(text)


@given(st.dictionaries(names, values, max_size=5))
def test_members_are_the_values_of_an_object(content: dict[str, Any]) -> None:
    found = members(json.dumps(content).encode())
    assert {name: json.loads(value) for name, value in found.items()} == content


@given(st.lists(values, max_size=5))
def test_elements_are_the_values_of_an_array(content: list[Any]) -> None:
    assert [json.loads(part) for part in elements(json.dumps(content).encode())] == content
