"""Rate-limit headers in the forms that servers and gateways send."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.net.rate_limit_headers import LONGEST_WINDOW, RateLimit, rate_limits

NOW = 1_700_000_000.0

Numbers = tuple[float | None, float | None, float | None, float | None]
"""Limit, window, remaining, reset."""


def stated(headers: dict[str, str]) -> list[Numbers]:
    return [
        (limit.limit, limit.window, limit.remaining, limit.reset_after)
        for limit in rate_limits(headers, NOW)
    ]


def x(**values: str) -> dict[str, str]:
    return {f"X-RateLimit-{name.replace('_', '-')}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (x(Limit="60", Remaining="59", Reset="30"), [(60, None, 59, 30)]),
        (x(Limit="60", Remaining="59", Reset="1700000030"), [(60, None, 59, 30)]),
        (x(Limit="60", Remaining="59", Reset="1700000030500"), [(60, None, 59, 30.5)]),
        (x(Limit="60", Window="60"), [(60, 60, None, None)]),
        (x(Limit="10", Window="1s"), [(10, 1, None, None)]),
        (x(Limit="10", Window="hour"), [(10, 3600, None, None)]),
        (x(Limit="10", Window_MS="1000"), [(10, 1, None, None)]),
        (x(Limit="10", Interval_Seconds="60"), [(10, 60, None, None)]),
        (x(Limit="10/second"), [(10, 1, None, None)]),
        (x(Limit="5 per 1 minute", Remaining="3"), [(None, None, 3, None), (5, 60, None, None)]),
        (x(Limit="100/15m, 9/h"), [(100, 900, None, None), (9, 3600, None, None)]),
        (x(Limit="100/fortnight"), [(100, None, None, None)]),
        (x(Limit_Second="5", Remaining_Second="4"), [(5, 1, 4, None)]),
        (
            x(Limit_Minute="60", Remaining_Minute="59", Limit_Hour="600", Remaining_Hour="9"),
            [(60, 60, 59, None), (600, 3600, 9, None)],
        ),
        (x(Remaining="0", Reset_After="1.25"), [(None, None, 0, 1.25)]),
        (x(Remaining="0", Reset="Tue, 14 Nov 2023 22:14:50 GMT"), [(None, None, 0, 90)]),
        (
            {"X-Rate-Limit-Limit": "1m", "X-Rate-Limit-Reset": "2023-11-14T22:14:50Z"},
            [(None, None, None, 90)],
        ),
    ],
)
def test_the_common_headers(headers: dict[str, str], limits: list[Numbers]) -> None:
    assert stated(headers) == limits


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (  # SlowAPI, for each limit of a route
            x(Limit="5, 100", Remaining="4, 99", Reset="1700000001.5, 1700003600.25"),
            [(5, None, 4, 1.5), (100, None, 99, 3600.25)],
        ),
        (x(Limit="100, 100;w=60", Remaining="7", Reset="3"), [(100, 60, 7, 3)]),
        (
            x(Limit='10, 10;w=1;name="a,b", 1000;w=3600', Remaining="7"),
            [(10, 1, 7, None), (1000, 3600, None, None)],
        ),
        (x(Limit="100;w=60", Remaining="7"), [(None, None, 7, None), (100, 60, None, None)]),
        (x(Limit="60, 60", Remaining="5, 5"), [(60, None, 5, None), (60, None, 5, None)]),
    ],
)
def test_several_limits_in_one_header(headers: dict[str, str], limits: list[Numbers]) -> None:
    assert stated(headers) == limits


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (
            {"RateLimit-Policy": '"default";q=100;w=60', "RateLimit": '"default";r=50;t=30'},
            [(100, 60, 50, 30)],
        ),
        ({"RateLimit": "default;r=0;t=12"}, [(None, None, 0, 12)]),
        (
            {"RateLimit-Policy": '"a";q=5;w=1, "b";q=9;w=60'},
            [(5, 1, None, None), (9, 60, None, None)],
        ),
        (
            {
                "RateLimit-Policy": '"bytes";q=9;w=1;qu="content-bytes", "n";q=8;w=60',
                "RateLimit": '"bytes";r=0;t=9, "n";r=3;t=4',
            },
            [(8, 60, 3, 4)],
        ),
        (
            {"RateLimit-Policy": "100;w=60", "RateLimit": "limit=100, remaining=50, reset=30"},
            [(100, 60, 50, 30)],
        ),
        (
            {
                "RateLimit-Limit": "100",
                "RateLimit-Remaining": "50",
                "RateLimit-Reset": "30",
                "RateLimit-Policy": "100;w=60, 5000;w=3600",
            },
            [(100, 60, 50, 30), (5000, 3600, None, None)],
        ),
    ],
)
def test_the_standard_and_its_drafts(headers: dict[str, str], limits: list[Numbers]) -> None:
    assert stated(headers) == limits


def test_limits_of_tokens_are_ignored() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m30s",
        "x-ratelimit-limit-tokens": "5",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "500ms",
    }
    assert stated(headers) == [(60, None, 59, 90)]


@pytest.mark.parametrize("value", ["-1", "unlimited", "NaN", "inf", "1e9", "", ",", ";", '"', "٣"])
def test_what_is_no_number_says_nothing(value: str) -> None:
    assert stated(x(Limit=value, Remaining=value, Reset=value, Window=value)) == []


@pytest.mark.parametrize("window", ["60000", "0", "-60", "fortnight", "99999999999"])
def test_a_doubtful_window_is_none(window: str) -> None:
    assert stated(x(Limit="60", Window=window)) == [(60, None, None, None)]


NAMES = [
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Window"),
    *("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Reset", "x-rate-limit-reset"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-hour", "x-ratelimit-reset-ms"),
]
PIECES = [
    *(
        "0",
        "1",
        "60",
        "100",
        "9" * 30,
        ".5",
        "-3",
        "1700000030",
        "1700000030123",
        ";w=",
        ";q=",
        ";r=",
    ),
    *("/second", " per 0 minutes", "/9999 months"),
    *(";t=", "60s", "1m", "ms", ", ", ";", "=", '"', '"a"', "\\", "limit=", "remaining=", " ", "é"),
    *(
        "Tue, 14 Nov 2023 22:14:50 GMT",
        "NaN",
        "inf",
        "1e400",
        "\x00",
        "\ud800",
        "٣",
        "²",
        "a" * 3000,
    ),
]


def assert_sound(limits: list[RateLimit]) -> None:
    for limit in limits:
        for value in (limit.limit, limit.window, limit.remaining, limit.reset_after):
            assert value is None or (math.isfinite(value) and value >= 0)
        assert limit.limit is None or limit.limit >= 1
        assert limit.window is None or 0 < limit.window <= LONGEST_WINDOW
        assert limit.reset_after is None or limit.reset_after <= LONGEST_WINDOW


def test_thousands_of_random_headers_raise_nothing() -> None:
    random = Random(7)
    for _ in range(3000):
        headers = {
            random.choice(NAMES): "".join(random.choices(PIECES, k=random.randint(0, 9)))
            for _ in range(random.randint(1, 6))
        }
        assert_sound(list(rate_limits(headers, NOW)))


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), st.text()))
def test_no_text_raises(headers: dict[str, str]) -> None:
    assert_sound(list(rate_limits(headers, NOW)))
