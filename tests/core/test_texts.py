"""Text from outside: what is shown, what is a label, what is an ID."""

import json
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.texts import (
    OTHER,
    check_id,
    cut,
    is_id,
    is_shown,
    label,
    spaced,
    visible,
    visible_json,
    visible_lines,
)

UNSEEN = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
HOSTILE = st.text(
    st.characters()
    | st.characters(categories=["Cc", "Cf", "Cs", "Zs", "Zl", "Zp"])
    | st.sampled_from(
        "/\\.%2ef\n\r\x1b[]\x9b\u202e\u2028\u200b\ufeff\u3164\U000e0041\"'\ufe0f⚠\u0301"
    )
)


def live(text: str) -> list[str]:
    return [char for char in text if unicodedata.category(char) in UNSEEN - {"Zs"}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("task 1 é 任务 ⚠️", "task 1 é 任务 ⚠️"),
        ("a\nb\t\r", "a\\nb\\t\\r"),
        ("\x1b[31m\x9b\x7f", "\\x1b[31m\\x9b\\x7f"),
        ("\u202egnp\u2028\u2029\x85", "\\u202egnp\\u2028\\u2029\\x85"),
        ("a\u200b\ufeff\u3164\U000e0041\ud800", "a\\u200b\\ufeff\\u3164\\U000e0041\\ud800"),
    ],
)
def test_what_is_not_visible_is_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(HOSTILE)
def test_shown_text_is_one_line_without_a_live_control(text: str) -> None:
    for shown in (visible(text), spaced(text)):
        assert not live(shown)
        assert len(shown.splitlines()) <= 1
        assert visible(shown) == spaced(shown) == shown
        assert is_shown(shown)
    assert len(spaced(text)) == len(text)
    assert not live(visible_lines(text).replace("\n", ""))


def test_what_chooses_the_form_of_an_emoji_hides_nothing_itself() -> None:
    for shown in ("⚠\ufe0f ✔\ufe0e", "1\ufe0f\u20e3", "©\ufe0f", "😀\ufe0f"):
        assert visible(shown) == spaced(shown) == shown
    assert visible("⚠\ufe0f\ufe0e\ufe0f") == "⚠\ufe0f\\ufe0e\\ufe0f"
    assert visible("\u3164\ufe0f \u0378\ufe0e") == "\\u3164\\ufe0f \\u0378\\ufe0e"
    assert spaced("\ufe0fa\ufe0e" + "\ufe0f" * 9) == " a" + " " * 10


def test_a_flood_of_marks_does_not_cover_the_lines_around() -> None:
    eight = "e" + "\u0301\u0302" * 4
    assert visible(eight) == spaced(eight) == eight
    assert visible(eight + "\u0489" * 1000 + "x") == eight + "\\u0489" * 1000 + "x"
    assert spaced(eight + "\u0489" * 1000 + "x") == eight + " " * 1000 + "x"
    assert json.loads(visible_json(json.dumps(eight * 3 + "\u0489" * 9, ensure_ascii=False))) == (
        eight * 3 + "\u0489" * 9
    )
    assert label(eight + "\u0489") == OTHER


@given(st.recursive(HOSTILE, lambda inner: st.dictionaries(HOSTILE, inner), max_leaves=4))
def test_shown_json_has_the_same_value_and_no_live_control(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert not live(shown.replace("\n", ""))
    assert json.loads(shown) == value


@given(HOSTILE)
def test_a_label_has_at_most_128_visible_bytes_and_nothing_to_escape(text: str) -> None:
    value = label(text)
    assert value in (text, OTHER)
    assert len(value.encode()) <= 128
    assert not live(value)
    assert not set(value) & set('"\\\n')


@pytest.mark.parametrize("text", ["x" * 129, "é" * 65, 'a"b', "a\\b", "a\nb", "\ud800", "a\u200b"])
def test_what_cannot_be_a_label_is_other(text: str) -> None:
    assert label(text) == OTHER


def test_an_ordinary_label_is_kept() -> None:
    for text in ("", "0 tasks bkt_1", "api_x", "x" * 128, "é" * 64):
        assert label(text) == text


@pytest.mark.parametrize(
    "text", ["a", "x" * 256, "a?b#c", "..a", "a..", "100%", "任务", "a;b", "%41"]
)
def test_visible_characters_without_a_slash_are_an_id(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 257, "x" * 1_000_000),
        *(".", "..", "a/b", "/", "a\\b"),
        *("%2e", "%2E%2e", ".%2e", "%252e%252e", "a%2fb", "a%2Fb", "a%5cb", "a%00", "a%0a"),
        *("a\n", "\na", "a b", " ", "a\x00", "a\x85", "a\u2028"),
        *("a\u00a0", "a\u200b", "\ufeffa", "a\u202eb", "a\u2066", "a\ufe0f", "a\u3164", "\ud800"),
    ],
)
def test_anything_else_is_not_an_id(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="an ID"):
        check_id(text)


def test_no_invisible_character_is_part_of_an_id() -> None:
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in UNSEEN:
            assert not is_id(f"a{chr(code)}"), hex(code)


@given(HOSTILE)
def test_an_id_is_one_segment_however_often_it_is_decoded(text: str) -> None:
    if not is_id(text):
        return
    for _ in range(3):
        assert text not in ("", ".", "..")
        assert not set(text) & set("/\\ \n")
        assert not live(text)
        text = unquote(text)


def test_a_cut_text_ends_with_an_ellipsis() -> None:
    assert cut("abcd", 4) == "abcd"
    assert cut("abcde", 4) == "abc…"
