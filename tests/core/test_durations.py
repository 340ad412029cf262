"""Durations as people read them."""

from watcher.core.durations import format_duration, rounded_duration

SECONDS = (0, 0.4, 42, 185, 2495, 3600, 7830, 350000)


def test_durations_show_their_two_largest_units() -> None:
    formatted = [format_duration(seconds) for seconds in SECONDS]
    assert formatted == [
        *("0 s", "0.4 s", "42 s", "3 min 5 s", "41 min 35 s", "1 h", "2 h 10 min", "4 d 1 h"),
    ]


def test_a_rounded_one_shows_no_seconds_beyond_a_minute() -> None:
    rounded = [rounded_duration(seconds) for seconds in SECONDS]
    assert rounded == ["0 s", "0 s", "42 s", "3 min", "41 min", "1 h", "2 h 10 min", "4 d 1 h"]
