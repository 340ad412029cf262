"""Delays as servers write them in headers: seconds, durations, and moments. Nothing here raises."""

import calendar
import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime

MAX_RETRY_AFTER = 24 * 3600.0
"""Seconds; a longer `Retry-After` is considered a mistake and reduced to this."""

EPOCH = 1e9
"""From this number on, a value is a Unix time, not a delay."""

_NUMBER = re.compile(r"(\d+)(\.\d*)?", re.ASCII)
_DURATION = re.compile(
    r"(\d{1,15}(?:\.\d{0,15})?)\s*(ms|us|µs|ns|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d)",
    re.ASCII,
)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3}
_UNITS_BY_INITIAL = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCHS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (EPOCH, 1.0))
"""From which number on a Unix time is in which fraction of a second."""
_LONGEST_DATE = 64
_DATE_ERRORS = (ValueError, TypeError, IndexError, OverflowError)


def number(text: str) -> float | None:
    """Return a decimal number without a sign; None for anything else."""
    match = _NUMBER.fullmatch(text.strip())
    # Twenty digits are beyond every maximum, and thousands of them become infinity.
    return None if match is None else float(match[1][:20] + (match[2] or "")[:10])


def duration(text: str) -> float | None:
    """Return the seconds of a duration such as `60s`, `1m30s` or `500ms`; None for other text."""
    compact = text.strip().lower()
    if not compact or _DURATION.sub("", compact[:100]).strip() or len(compact) > 100:
        return None
    return sum(float(count) * _unit(unit) for count, unit in _DURATION.findall(compact))


def delay(text: str, now: float) -> float | None:
    """Return the seconds from the Unix time `now` until what `text` says, at least 0.

    Accepted are seconds, a Unix time in seconds, ms, µs or ns, a duration, RFC 3339, and the three
    forms of a date of RFC 9110 section 5.6.7. None for other text.
    """
    seconds = number(text)
    if seconds is not None:
        for smallest, fraction in _EPOCHS:
            if seconds >= smallest:
                return max(seconds / fraction - now, 0.0)
        return seconds
    if (lasting := duration(text)) is not None:
        return lasting
    moment = _moment(text.strip())
    return None if moment is None else max(moment - now, 0.0)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the delay that `Retry-After` or `retry-after-ms` names, at most `MAX_RETRY_AFTER`.

    `now` is in Unix seconds. None if neither header is present and valid.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (milliseconds := number(headers.get(name, ""))) is not None:
            return min(milliseconds / 1000, MAX_RETRY_AFTER)
    text = headers.get("retry-after", "")
    # Several headers arrive joined by commas, which dates contain as well.
    parts = [text] if delay(text, now) is not None else text.split(",")
    named = [seconds for part in parts if (seconds := delay(part, now)) is not None]
    return min(max(named), MAX_RETRY_AFTER) if named else None


def _unit(name: str) -> float:
    return _UNITS.get(name) or _UNITS_BY_INITIAL[name[0]]


def _moment(text: str) -> float | None:
    """Return the Unix time of a date; one without a zone is in UTC."""
    if not text or len(text) > _LONGEST_DATE:
        return None
    try:
        parsed = email.utils.parsedate_tz(text)
        if parsed is not None:
            return float(calendar.timegm(parsed[:6])) - (parsed[9] or 0)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except _DATE_ERRORS:
        return None
