"""How long an overloaded peer receives nothing."""

from watcher.core.cooldown import Cooldown


class Peer:
    """A cooldown with a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cooldown = Cooldown(lambda: self.now)

    def guess(self, *, at_most: float = 30.0) -> float:
        """Start a guessed cooldown, let it pass, and return its length in seconds."""
        self.cooldown.start(None, at_most=at_most)
        remaining = self.cooldown.remaining()
        self.now += remaining
        return remaining


def test_guesses_double_up_to_thirty_seconds() -> None:
    peer = Peer()
    assert [peer.guess() for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_success_resets_the_guess() -> None:
    peer = Peer()
    peer.guess()
    peer.guess()
    peer.cooldown.succeeded()
    assert peer.guess() == 1.0


def test_a_guess_has_a_limit() -> None:
    peer = Peer()
    assert [peer.guess(at_most=3.0) for _ in range(3)] == [1.0, 2.0, 3.0]


def test_requests_in_flight_at_once_count_as_one() -> None:
    peer = Peer()
    peer.cooldown.start(None)
    peer.cooldown.start(None)
    assert peer.cooldown.remaining() == 1.0


def test_a_later_shorter_time_does_not_shorten_the_named_one() -> None:
    peer = Peer()
    peer.cooldown.start(90.0)
    peer.cooldown.start(5.0)
    assert peer.cooldown.remaining() == 90.0


def test_guesses_can_be_left_out() -> None:
    peer = Peer()
    peer.cooldown.start(None)
    assert peer.cooldown.remaining(guesses=False) == 0.0
    peer.cooldown.start(0.5)
    assert peer.cooldown.remaining(guesses=False) == 0.5
