"""The session of a browser, and what counts as sent by a page of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.api.page import session

TOKEN = "a-token-of-at-least-16"
NOW = 1_800_000_000.0
NONCE = bytes(range(12))
OWN = ["http://ops.example:8080"]


def test_a_session_is_valid_until_it_expires() -> None:
    value = session.mint(TOKEN, NOW, NONCE)
    assert session.is_valid(value, TOKEN, NOW)
    assert session.is_valid(value, TOKEN, NOW + session.LIFETIME - 1)
    assert not session.is_valid(value, TOKEN, NOW + session.LIFETIME)


def test_another_token_ends_it() -> None:
    assert not session.is_valid(session.mint(TOKEN, NOW, NONCE), TOKEN + "x", NOW)


@given(st.integers(0, 69), st.characters(max_codepoint=127))
def test_a_changed_session_is_not_valid(place: int, character: str) -> None:
    value = session.mint(TOKEN, NOW, NONCE)
    changed = value[:place] + character + value[place + 1 :]
    assert session.is_valid(changed, TOKEN, NOW) == (changed == value)


def test_another_spelling_of_the_same_bytes_is_not_valid() -> None:
    value = session.mint(TOKEN, NOW, NONCE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    valid = [last for last in alphabet if session.is_valid(value[:-1] + last, TOKEN, NOW)]
    assert valid == [value[-1]]


@given(st.text(max_size=100))
def test_any_other_text_is_not_valid(text: str) -> None:
    assert not session.is_valid(text, TOKEN, NOW)


@pytest.mark.parametrize("end", [0, 1, 8, 20, 51, 68, 69])
def test_a_cut_session_is_not_valid(end: int) -> None:
    assert not session.is_valid(session.mint(TOKEN, NOW, NONCE)[:end], TOKEN, NOW)


def test_a_longer_session_is_not_valid() -> None:
    assert not session.is_valid(session.mint(TOKEN, NOW, NONCE) + "AAAA", TOKEN, NOW)


def test_the_log_names_four_random_bytes_of_it() -> None:
    assert session.name_of(session.mint(TOKEN, NOW, NONCE)) == "00010203"


@pytest.mark.parametrize(
    ("sent", "equal"), [(TOKEN, True), (TOKEN[:-1], False), ("", False), ("ü" * 16, False)]
)
def test_only_the_token_is_the_token(sent: str, equal: bool) -> None:
    assert session.is_token(sent, TOKEN) is equal


@pytest.mark.parametrize(
    ("sites", "origins", "ours"),
    [
        (["same-origin"], ["http://ops.example:8080"], True),
        (["same-origin"], [], True),
        (["same-site"], ["http://ops.example:8080"], False),
        (["cross-site"], [], False),
        (["none"], [], False),
        (["same-origin", "same-origin"], [], False),
        (["same-origin", "cross-site"], [], False),
        ([], ["http://ops.example:8080"], True),
        ([], ["http://ops.example"], False),
        ([], ["null"], False),
        ([], ["http://ops.example:8080", "http://ops.example:8080"], False),
        ([], [], False),
    ],
)
def test_forms_come_from_our_pages(sites: list[str], origins: list[str], ours: bool) -> None:
    assert session.sent_by_page(sites, origins, OWN) is ours


def test_two_watchers_on_one_host_have_two_cookies() -> None:
    names = {session.cookie_name(port) for port in (8080, 8081, None)}
    assert names == {"watcher_session_8080", "watcher_session_8081", "watcher_session_socket"}
