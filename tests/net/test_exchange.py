"""`Retry-After` in every form, and some that are none."""

import email.utils
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from watcher.net.exchange import MAX_RETRY_AFTER, retry_after

NOW = 1_700_000_000.0


def test_seconds_and_dates_are_read() -> None:
    date = email.utils.formatdate(NOW + 90, usegmt=True)
    assert retry_after({"retry-after": "120"}, NOW) == 120
    assert retry_after({"retry-after": " 0 "}, NOW) == 0
    assert retry_after({"retry-after": date}, NOW) == 90
    assert retry_after({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, NOW) == 0


def test_what_says_nothing_is_none_and_what_asks_for_years_is_a_day() -> None:
    for text in ("", "soon", "-5", "1.5", "٣", "Mon, 99 Foo"):
        assert retry_after({"retry-after": text}, NOW) is None
    assert retry_after({}, NOW) is None
    assert retry_after({"retry-after": "9" * 400}, NOW) == MAX_RETRY_AFTER


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}")
)
def test_any_text_is_survived(text: str) -> None:
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


def test_ten_thousand_random_texts_are_survived() -> None:
    random = Random(429)
    pieces = [
        "Mon, ",
        "Tue",
        "31 ",
        "Feb ",
        "Nov ",
        "2026 ",
        "99999 ",
        "23:59:60",
        "00:00:00",
        " GMT",
        " +9999",
        "-1",
        "1e9",
    ]
    pieces += [
        "0",
        "120",
        "9" * 30,
        "\x00",
        "\r\n",
        "٣",
        "²",
        "\ud800",
        " ",
        ";",
        ",",
        "é",
        "NaN",
        "inf",
        "0x10",
        "a" * 500,
    ]
    survived = 0
    for _ in range(10_000):
        text = "".join(random.choices(pieces, k=random.randint(0, 8)))
        seconds = retry_after({"retry-after": text}, NOW)
        survived += seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
    assert survived == 10_000
