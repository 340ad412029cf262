"""A time for which whoever cannot keep up is left alone."""

from collections.abc import Callable

_LONGEST_GUESS = 30.0  # as long as the probes of a source or channel that is down are apart

Now = Callable[[], float]


class Cooldown:
    """A time until which nothing is asked or sent, because the other side wants that. `now` is
    monotonic seconds.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._named_until = 0.0
        self._guessed_until = 0.0
        self._next_guess = 1.0

    def start(self, seconds: float | None, *, at_most: float = _LONGEST_GUESS) -> None:
        """Wait at least `seconds`.

        None, where the other side named no time: 1 s, twice as long each time, at most 30 s or
        `at_most`. Several that were under way at once count as one.
        """
        if seconds is None:
            if self.remaining():
                return
            self._guessed_until = self._now() + min(self._next_guess, at_most)
            self._next_guess = min(self._next_guess * 2, _LONGEST_GUESS)
        else:
            self._named_until = max(self._named_until, self._now() + seconds)

    def succeeded(self) -> None:
        """The other side answers as it should: the next guess begins at 1 s again."""
        self._next_guess = 1.0

    def remaining(self, *, guesses: bool = True) -> float:
        """Return the seconds still to wait; without `guesses`, those that the other side named."""
        until = max(self._named_until, self._guessed_until) if guesses else self._named_until
        return max(until - self._now(), 0.0)
