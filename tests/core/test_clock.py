"""RFC 3339 texts and jumps of the wall clock."""

import pytest

from watcher.core.clock import ClockJumpDetector, FollowedClock, parse_rfc3339, rfc3339


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


class Server:
    """A server's clock, which a host whose own one is an hour ahead follows."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.time = 1_000_000.0
        self.followed = FollowedClock(lambda: self.time + 3600.0, lambda: self.steady)

    def answer(self, took: float = 0.0) -> None:
        """Show the time at the end of what took so long."""
        requested_at = self.steady
        self.advance(took)
        self.followed.answered(self.time, requested_at)

    def advance(self, seconds: float) -> None:
        self.steady += seconds
        self.time += seconds


def test_the_hosts_clock_counts_until_the_server_has_answered() -> None:
    server = Server()
    assert server.followed() == server.time + 3600.0
    server.answer()
    assert server.followed() == server.time
    server.advance(5.0)
    assert server.followed() == server.time


def test_an_answer_that_took_long_moves_no_clock_that_may_be_right() -> None:
    server = Server()
    server.answer()
    server.answer(took=60.0)
    assert server.followed() == server.time
    server.time -= 10.0
    server.answer(took=60.0)
    assert server.followed() == server.time + 10.0
    server.answer()
    assert server.followed() == server.time


def test_an_answer_is_as_exact_as_it_was_quick() -> None:
    server = Server()
    server.answer(took=0.5)
    assert server.time <= server.followed() <= server.time + 0.5
