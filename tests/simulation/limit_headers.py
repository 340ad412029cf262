"""What upstream says of its limit in the headers of an answer, in the forms in use; always true."""

from collections.abc import Callable, Mapping

Headers = Callable[[int, int, float], dict[str, str]]
"""Takes the limit a minute, the requests of the last minute, and the wall clock."""

_RESET = 60


def _none(limit: int, used: int, wall: float) -> dict[str, str]:
    return {}


def _seconds(limit: int, used: int, wall: float) -> dict[str, str]:
    return _named("x-ratelimit-", limit, used, str(_RESET))


def _with_window(limit: int, used: int, wall: float) -> dict[str, str]:
    return {**_seconds(limit, used, wall), "x-ratelimit-window": "60"}


def _epoch(limit: int, used: int, wall: float) -> dict[str, str]:
    return _named("x-ratelimit-", limit, used, f"{wall + _RESET:.0f}")


def _epoch_in_fractions(limit: int, used: int, wall: float) -> dict[str, str]:
    return _named("x-ratelimit-", limit, used, f"{wall + _RESET:.6f}")


def _epoch_in_milliseconds(limit: int, used: int, wall: float) -> dict[str, str]:
    return _named("x-ratelimit-", limit, used, f"{(wall + _RESET) * 1000:.0f}")


def _old(limit: int, used: int, wall: float) -> dict[str, str]:
    return _named("ratelimit-", limit, used, str(_RESET))


def _draft(limit: int, used: int, wall: float) -> dict[str, str]:
    remaining = max(limit - used, 0)
    return {
        "ratelimit": f'"default";r={remaining};t={_RESET}',
        "ratelimit-policy": f'"default";q={limit};w=60',
    }


def _an_hour(limit: int, used: int, wall: float) -> dict[str, str]:
    """A limit of an hour, of which nearly all is left."""
    return {**_named("x-ratelimit-", limit * 60, used, "3000"), "x-ratelimit-window": "3600"}


def _a_second(limit: int, used: int, wall: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit": "20",
        "x-ratelimit-remaining": "19",
        "x-ratelimit-reset": "1",
        "x-ratelimit-window": "1",
    }


def _named(prefix: str, limit: int, used: int, reset: str) -> dict[str, str]:
    remaining = max(limit - used, 0)
    return {
        f"{prefix}limit": str(limit),
        f"{prefix}remaining": str(remaining),
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
