"""Delays and jitter, in seconds. Pure: randomness is an argument."""

from random import Random

_LENGTHEN_BY = 0.1
_SHORTEN_BY = 0.1


def equal_jitter(delay: float, random: Random) -> float:
    """Return a time in [delay/2, delay], drawn evenly ("equal jitter"), so that tasks added
    together drift apart.
    """
    return delay / 2 + random.uniform(0, delay / 2)


def shortened(delay: float) -> float:
    """Return the least that `slight_jitter` makes of `delay`."""
    return delay * (1 - _SHORTEN_BY)


def slight_jitter(delay: float, random: Random) -> float:
    """Return a time in [0.9 delay, delay]: enough where due times are spread already, and a third
    fewer requests.
    """
    return random.uniform(shortened(delay), delay)


def lengthened(delay: float, random: Random) -> float:
    """Return `delay` or up to a tenth more: a peer that requested a time never gets less of
    it.
    """
    return delay * (1 + random.uniform(0, _LENGTHEN_BY))


def next_interval(interval: float, multiplier: float, maximum: float) -> float:
    """Return the interval after one without a change."""
    return min(interval * multiplier, maximum)
