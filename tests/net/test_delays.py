"""Delays in headers, in all their forms, and invalid values."""

import email.utils
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.net.delays import MAX_RETRY_AFTER, delay, duration, retry_after

NOW = 1_700_000_000.0


def test_seconds_and_dates_are_accepted() -> None:
    date = email.utils.formatdate(NOW + 90, usegmt=True)
    assert retry_after({"retry-after": "120"}, NOW) == 120
    assert retry_after({"retry-after": " 0 "}, NOW) == 0
    assert retry_after({"retry-after": date}, NOW) == 90
    assert retry_after({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, NOW) == 0


def test_an_invalid_value_is_none_and_a_huge_one_is_a_day() -> None:
    for text in ("", "soon", "-5", "1e3", "NaN", "inf", "٣", "Mon, 99 Foo"):
        assert retry_after({"retry-after": text}, NOW) is None
    assert retry_after({}, NOW) is None
    assert retry_after({"retry-after": "9" * 400}, NOW) == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.0", 4.0),
        ("0.25", 0.25),
        ("1m30s", 90.0),
        ("500ms", 0.5),
        ("10 seconds", 10.0),
        ("1700000012", 12.0),
        ("1700000012.5", 12.5),
        ("1700000012000", 12.0),
        ("1700000012000000", 12.0),
        ("Tue, 14 Nov 2023 22:14:50 GMT", 90.0),
        ("Tuesday, 14-Nov-23 22:14:50 GMT", 90.0),
        ("Tue Nov 14 22:14:50 2023", 90.0),
        ("Tue, 14 Nov 2023 23:14:50 +0100", 90.0),
        ("Tue, 14 Nov 2023 22:14:60 GMT", 100.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("2023-11-14T22:14:50Z", 90.0),
        ("2023-11-14T22:14:50.500+00:00", 90.5),
        ("2023-11-14 22:14:50", 90.0),
        ("1699999999", 0.0),
    ],
)
def test_each_form_of_a_delay_is_read(text: str, seconds: float) -> None:
    assert delay(text, NOW) == pytest.approx(seconds)
    assert retry_after({"retry-after": text}, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_a_date_without_a_zone_is_in_utc_wherever_the_watcher_runs(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert delay("Tue Nov 14 22:14:50 2023", NOW) == 90.0
        assert delay("2023-11-14T22:14:50", NOW) == 90.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_milliseconds_come_before_seconds_and_of_several_values_the_longest_counts() -> None:
    assert retry_after({"retry-after-ms": "1500", "retry-after": "2"}, NOW) == 1.5
    assert retry_after({"retry-after-ms": "soon", "retry-after": "2"}, NOW) == 2.0
    assert retry_after({"retry-after-ms": "9" * 99}, NOW) == MAX_RETRY_AFTER
    assert retry_after({"retry-after": "5, 10, never"}, NOW) == 10.0


def test_a_duration_is_text_with_units() -> None:
    assert duration("6m0s") == 360.0
    assert duration("1h") == 3600.0
    assert duration("2d 1.5s") == 2 * 86400 + 1.5
    assert duration("250µs") == pytest.approx(0.00025)
    for text in ("", "s", "5", "-5s", "5 parsecs", "1s" * 200):
        assert duration(text) is None


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}")
)
def test_no_text_raises(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: text}, NOW)
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
