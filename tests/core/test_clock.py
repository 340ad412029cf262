"""RFC 3339 texts and jumps of the wall clock."""

import pytest

from watcher.core.clock import ClockJumpDetector, parse_rfc3339, rfc3339


class Clocks:
    """A wall clock and a monotonic one that a test sets."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.monotonic = 5.0
        self.detector = ClockJumpDetector(lambda: self.wall, lambda: self.monotonic)

    def advance(self, seconds: float, *, jump: float = 0.0) -> float:
        self.monotonic += seconds
        self.wall += seconds + jump
        return self.detector.observe()


def test_a_timestamp_survives_formatting_and_parsing() -> None:
    text = rfc3339(1_795_417_200.125)
    assert text.endswith(".125000Z")
    assert parse_rfc3339(text) == 1_795_417_200.125


def test_a_timestamp_without_offset_is_rejected() -> None:
    with pytest.raises(ValueError, match="missing UTC offset"):
        parse_rfc3339("2026-11-23T07:00:00")


@pytest.mark.parametrize("jump", [0.0, 60.0, -60.0])
def test_passing_time_and_small_corrections_are_no_jumps(jump: float) -> None:
    clocks = Clocks()
    assert clocks.advance(86_400.0, jump=jump) == 0.0
    assert clocks.detector.steady_since == float("-inf")


@pytest.mark.parametrize("jump", [61.0, -3600.0])
def test_a_jump_is_reported_once_and_counts_from_its_observation(jump: float) -> None:
    clocks = Clocks()
    assert clocks.advance(10.0, jump=jump) == pytest.approx(jump)
    assert clocks.advance(10.0) == 0.0
    assert clocks.detector.steady_since == 15.0
