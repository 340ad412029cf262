"""A time during which an overloaded peer receives nothing."""

from collections.abc import Callable

_LONGEST_GUESS = 30.0  # seconds, the interval of probes

Now = Callable[[], float]


class Cooldown:
    """A time until which nothing is sent, because the peer is overloaded. `now` is in monotonic
    seconds.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._named_until = 0.0
        self._guessed_until = 0.0
        self._next_guess = 1.0

    def start(self, seconds: float | None, *, at_most: float = _LONGEST_GUESS) -> None:
        """Wait at least `seconds`.

        None if the peer named no time: 1 s, doubling each time up to 30 s or `at_most`. Several
        requests in flight at once count as one.
        """
        if seconds is None:
            if self.remaining():
                return
            self._guessed_until = self._now() + min(self._next_guess, at_most)
            self._next_guess = min(self._next_guess * 2, _LONGEST_GUESS)
        else:
            self._named_until = max(self._named_until, self._now() + seconds)

    def clear(self) -> None:
        """Send again at once."""
        self._named_until = self._guessed_until = 0.0

    def succeeded(self) -> None:
        """Note a success: the next guess is 1 s again."""
        self._next_guess = 1.0

    def remaining(self, *, guesses: bool = True) -> float:
        """Return the remaining seconds; without `guesses`, only those that the peer named."""
        until = max(self._named_until, self._guessed_until) if guesses else self._named_until
        return max(until - self._now(), 0.0) if until else 0.0
