"""`Retry-After` in both of its forms, and invalid values."""

import email.utils
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from watcher.net.exchange import MAX_RETRY_AFTER, retry_after

NOW = 1_700_000_000.0


def test_seconds_and_dates_are_accepted() -> None:
    date = email.utils.formatdate(NOW + 90, usegmt=True)
    assert retry_after({"retry-after": "120"}, NOW) == 120
    assert retry_after({"retry-after": " 0 "}, NOW) == 0
    assert retry_after({"retry-after": date}, NOW) == 90
    assert retry_after({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, NOW) == 0


def test_an_invalid_value_is_none_and_a_huge_one_is_a_day() -> None:
    for text in ("", "soon", "-5", "1.5", "٣", "Mon, 99 Foo"):
        assert retry_after({"retry-after": text}, NOW) is None
    assert retry_after({}, NOW) is None
    assert retry_after({"retry-after": "9" * 400}, NOW) == MAX_RETRY_AFTER


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}")
)
def test_no_text_raises(text: str) -> None:
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


DATE_PIECES = [
    *("Mon, ", "Tue", "31 ", "Feb ", "Nov ", "2026 ", "99999 "),
    *("23:59:60", "00:00:00", " GMT", " +9999", "-1", "1e9"),
]
OTHER_PIECES = [
    *("0", "120", "9" * 30, "\x00", "\r\n", "٣", "²", "\ud800"),
    *(" ", ";", ",", "é", "NaN", "inf", "0x10", "a" * 500),
]


def test_ten_thousand_random_texts_raise_nothing() -> None:
    random = Random(429)
    for _ in range(10_000):
        text = "".join(random.choices(DATE_PIECES + OTHER_PIECES, k=random.randint(0, 8)))
        seconds = retry_after({"retry-after": text}, NOW)
        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
