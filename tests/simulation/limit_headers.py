"""What upstream says of its limit in the headers of an answer, in the forms in use; always true."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The limit a minute, the requests of the last minute, the seconds until the oldest of them no
    longer counts, and the wall clock.
    """

    limit: int
    used: int
    reset: float
    wall: float

    @property
    def seconds(self) -> int:
        """The reset in whole seconds, not before it."""
        return math.ceil(self.reset)


Headers = Callable[[Usage], dict[str, str]]


def _none(usage: Usage) -> dict[str, str]:
    return {}


def _seconds(usage: Usage) -> dict[str, str]:
    return _named("x-ratelimit-", usage, str(usage.seconds))


def _with_window(usage: Usage) -> dict[str, str]:
    return {**_seconds(usage), "x-ratelimit-window": "60"}


def _epoch(usage: Usage) -> dict[str, str]:
    return _named("x-ratelimit-", usage, str(math.ceil(usage.wall + usage.reset)))


def _epoch_in_fractions(usage: Usage) -> dict[str, str]:
    return _named("x-ratelimit-", usage, f"{usage.wall + usage.reset:.6f}")


def _epoch_in_milliseconds(usage: Usage) -> dict[str, str]:
    return _named("x-ratelimit-", usage, f"{(usage.wall + usage.reset) * 1000:.0f}")


def _old(usage: Usage) -> dict[str, str]:
    return _named("ratelimit-", usage, str(usage.seconds))


def _draft(usage: Usage) -> dict[str, str]:
    remaining = max(usage.limit - usage.used, 0)
    return {
        "ratelimit": f'"default";r={remaining};t={usage.seconds}',
        "ratelimit-policy": f'"default";q={usage.limit};w=60',
    }


def _an_hour(usage: Usage) -> dict[str, str]:
    """A limit of an hour, of which nearly all is left."""
    return {
        "x-ratelimit-limit": str(usage.limit * 60),
        "x-ratelimit-remaining": str(usage.limit * 60 - usage.used),
        "x-ratelimit-reset": "3000",
        "x-ratelimit-window": "3600",
    }


def _a_second(usage: Usage) -> dict[str, str]:
    return {
        "x-ratelimit-limit": "20",
        "x-ratelimit-remaining": "19",
        "x-ratelimit-reset": "1",
        "x-ratelimit-window": "1",
    }


def _named(prefix: str, usage: Usage, reset: str) -> dict[str, str]:
    return {
        f"{prefix}limit": str(usage.limit),
        f"{prefix}remaining": str(max(usage.limit - usage.used, 0)),
        f"{prefix}reset": reset,
    }


FORMS: Mapping[str, Headers] = {
    "none": _none,
    "seconds": _seconds,
    "window": _with_window,
    "epoch": _epoch,
    "epoch in fractions": _epoch_in_fractions,
    "epoch in milliseconds": _epoch_in_milliseconds,
    "old": _old,
    "draft": _draft,
    "an hour": _an_hour,
    "a second": _a_second,
}
