"""What response headers say about rate limits, in the many forms that are in use. Pure.

- `X-RateLimit-Limit`, `-Remaining`, `-Reset`, also as `X-Rate-Limit-*`, `RateLimit-*` and with a
  vendor's name (`Anthropic-RateLimit-*`), with a unit of time (`-Limit-Minute`), with `-Requests`,
  and with `X-RateLimit-Window` or `-Interval`;
- several limits in one header, or in repeated ones: `5, 100`, or `100, 100;w=60, 1000;w=3600`;
- the IETF's `RateLimit-Policy: "default";q=100;w=60` with `RateLimit: "default";r=50;t=30`
  (draft-ietf-httpapi-ratelimit-headers), and its earlier forms.

Limits of anything but requests (tokens, bytes) are ignored. Most headers do not say for which time
a limit holds; the window is then None. No text raises.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from watcher.net.delays import EPOCH, delay, duration, number

LONGEST_WINDOW = 31 * 86400.0
"""Seconds; longer windows and resets are considered mistakes."""

_SHORTEST = 0.001  # seconds
_MOST = 1e9  # requests; anything above does not limit
_MOST_ITEMS = 16
_LONGEST_VALUE = 2000
_NAME = re.compile(r"((?:[a-z]+-)?rate-?limit)s?(?:-([a-z-]+))?")
_SECONDS = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "week": 7 * 86400.0,
    "month": 30 * 86400.0,
}
_FIELDS = {
    "limit": "limit",
    "remaining": "remaining",
    "reset": "reset",
    "resettime": "reset",
    "window": "window",
    "interval": "window",
    "period": "window",
    "policy": "policy",
}
_PLAIN = {f"x-ratelimit-{name}": name for name in ("limit", "remaining", "reset")}
_SCOPES = frozenset(
    ("request", "per", "user", "ip", "key", "api", "route", "endpoint", "global", "client", "org")
)
_VALUE_UNITS = {"ms": 1e-3, "milliseconds": 1e-3, "seconds": 1.0}
_IGNORED = frozenset({"after", "at", "time", "epoch"})
_RATE = re.compile(r"(\d{1,10})\s*(?:/|per)\s*(\d{0,4})\s*([a-z]+)", re.ASCII)
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+')
_PARAMETER = re.compile(r'\s*([A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,"]*)')


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What a response says about one limit; None where it does not.

    `limit` requests, at least 1, are allowed in `window` seconds; `remaining` more before
    `reset_after` seconds have passed. All are finite and none is negative.
    """

    limit: float | None = None
    window: float | None = None
    remaining: float | None = None
    reset_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One item of a list: `"name";key=value`, `100;w=60`, `100/minute`, or `limit=100`."""

    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_window(self) -> bool:
        return "w" in self.parameters or _RATE.fullmatch(self.text) is not None

    @property
    def of_requests(self) -> bool:
        return self.parameters.get("qu", "requests") == "requests"

    @property
    def limit(self) -> float | None:
        text = self.parameters.get("q", self.text)
        rate = _RATE.fullmatch(text)
        quota = number(text if rate is None else rate[1])
        return quota if quota is not None and 1 <= quota <= _MOST else None

    @property
    def window(self) -> float | None:
        rate = _RATE.fullmatch(self.text)
        if rate is not None:
            unit = _window(rate[3], 1.0) or _window(f"1{rate[3]}", 1.0)
            seconds = (unit or 0.0) * float(rate[2] or 1)
            return seconds if _SHORTEST <= seconds <= LONGEST_WINDOW else None
        return _window(self.parameters.get("w", ""), 1.0)


@dataclass(slots=True)
class _Group:
    """The values of the headers of one family and scope, by field."""

    window: float | None = None
    values: dict[str, str] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)

    def limits(self, policies: Sequence[_Item], now: float) -> Iterator[RateLimit]:
        """Yield what the values say; the n-th limit belongs to the n-th of each other field."""
        stated = list(_items(self.values.get("limit", "")))
        policies = [*(item for item in stated if item.has_window), *policies]
        policies = [item for item in policies if item.of_requests]
        limits = [item for item in stated if not item.has_window]
        remaining = [number(text) for text in self.values.get("remaining", "").split(",")]
        resets = self._each("reset", lambda text, unit: _reset(text, unit, now))
        windows = self._each("window", _window)
        count = max(len(limits), len(remaining), len(resets))
        for index in range(min(count, _MOST_ITEMS)):
            limit = limits[index].limit if index < len(limits) else None
            policy = next((item for item in policies if item.limit == limit is not None), None)
            if policy is not None:
                policies.remove(policy)
            window = windows[index] if len(windows) == count else None
            yield RateLimit(
                limit=limit,
                window=self.window or window or (policy.window if policy else None),
                remaining=_at(remaining, index),
                reset_after=_at(resets, index),
            )
        yield from _policy_limits(policies)

    def _each(
        self, name: str, read: Callable[[str, float], float | None]
    ) -> Sequence[float | None]:
        """Return what `read` makes of each value of a field; dates contain commas themselves."""
        text, unit = self.values.get(name, ""), self.units.get(name, 1.0)
        whole = read(text, unit)
        return [read(part, unit) for part in text.split(",")] if whole is None else [whole]


def rate_limits(headers: Mapping[str, str], now: float) -> Sequence[RateLimit]:
    """Return the limits that `headers` state; `now` is in Unix seconds."""
    found = [(name.lower(), value) for name, value in headers.items() if "imit" in name]
    if not found:
        return ()
    if (plain := _plain(found, now)) is not None:
        return (plain,)
    groups: dict[tuple[str, str], _Group] = {}
    standard = ""
    for name, value in found:
        if (match := _NAME.fullmatch(name)) is None:
            continue
        family, rest = match.groups()
        if rest is not None:
            _sort(groups, family, rest, value[:_LONGEST_VALUE])
        elif family == "ratelimit":
            standard = value[:_LONGEST_VALUE]
    return [limit for limit in _stated(groups, standard, now) if limit != _NOTHING]


def _plain(found: Sequence[tuple[str, str]], now: float) -> RateLimit | None:
    """Return the limit of the three usual headers with whole numbers, which is read often."""
    values: dict[str, float] = {}
    for name, value in found:
        field_name = _PLAIN.get(name)
        if field_name is None or not (len(value) <= 10 and value.isascii() and value.isdigit()):
            return None
        values[field_name] = float(value)
    reset = values.get("reset")
    if reset is not None:
        reset = min(max(reset - now, 0.0) if reset >= EPOCH else reset, LONGEST_WINDOW)
    limit = values.get("limit")
    return RateLimit(
        limit=limit if limit is not None and 1 <= limit <= _MOST else None,
        remaining=values.get("remaining"),
        reset_after=reset,
    )


def _sort(groups: dict[tuple[str, str], _Group], family: str, rest: str, value: str) -> None:
    """Put a header into its group, unless it is about something else than requests."""
    words = rest.split("-")
    fields = [_FIELDS[word] for word in words if word in _FIELDS]
    if len(fields) != 1:
        return
    scope, unit, window = "", 1.0, None
    for word in words:
        singular = word.removesuffix("s")
        if fields[0] in ("reset", "window") and word in _VALUE_UNITS:
            unit = _VALUE_UNITS[word]
        elif singular in _SECONDS:
            window = _SECONDS[singular]
            scope += singular
        elif singular in _SCOPES:
            scope += singular
        elif word not in _FIELDS and word not in _IGNORED:
            return
    group = groups.setdefault((family, scope), _Group(window=window))
    group.values[fields[0]] = value
    group.units[fields[0]] = unit


def _stated(
    groups: Mapping[tuple[str, str], _Group], standard: str, now: float
) -> Iterator[RateLimit]:
    policies = {
        family: list(_items(group.values["policy"]))
        for (family, _), group in groups.items()
        if "policy" in group.values
    }
    if standard:
        yield from _standard_limits(standard, policies.pop("ratelimit", []), now)
    for (family, _), group in groups.items():
        yield from group.limits(policies.pop(family, []), now)


def _standard_limits(standard: str, policies: Sequence[_Item], now: float) -> Iterator[RateLimit]:
    """Yield the limits of `RateLimit` and `RateLimit-Policy`."""
    items = list(_items(standard))
    if any("=" in item.text for item in items):
        # Until the seventh draft: limit=100, remaining=50, reset=30
        pairs = (item.text.partition("=") for item in items)
        values = {key.strip().lower(): value.strip() for key, _, value in pairs}
        yield from _Group(values=values).limits(policies, now)
        return
    by_name = {item.text: item for item in policies}
    for item in items:
        policy = by_name.pop(item.text, _UNNAMED)
        if item.of_requests and policy.of_requests:
            yield RateLimit(
                limit=policy.limit,
                window=policy.window,
                remaining=number(item.parameters.get("r", "")),
                reset_after=_reset(item.parameters.get("t", ""), 1.0, now),
            )
    yield from _policy_limits([item for item in by_name.values() if item.of_requests])


def _policy_limits(policies: Iterable[_Item]) -> Iterator[RateLimit]:
    for item in policies:
        yield RateLimit(limit=item.limit, window=item.window)


def _items(value: str) -> Iterator[_Item]:
    for match in islice(_ITEM.finditer(value), _MOST_ITEMS):
        text, _, rest = match[0].partition(";")
        parameters = {
            key.lower(): content.strip().strip('"') for key, content in _PARAMETER.findall(rest)
        }
        yield _Item(text=text.strip().strip('"'), parameters=parameters)


def _at(values: Sequence[float | None], index: int) -> float | None:
    return values[index] if index < len(values) else None


def _reset(text: str, unit: float, now: float) -> float | None:
    """Return a delay as seconds; in `unit` seconds where it is a number and no Unix time."""
    seconds = number(text)
    if seconds is not None and unit != 1.0:
        return min(seconds * unit, LONGEST_WINDOW)
    seconds = delay(text, now)
    return None if seconds is None else min(seconds, LONGEST_WINDOW)


def _window(text: str, unit: float) -> float | None:
    """Return a window in seconds; None where it is not certain."""
    count = number(text)
    if count is not None and unit == 1.0 and count >= 1000 and count % 1000 == 0:
        return None  # 60000 is a minute in ms rather than 17 hours
    seconds = duration(text) if count is None else count * unit
    if seconds is None:
        seconds = _SECONDS.get(text.strip().lower().removeprefix("per ").removeprefix("1 "))
    return seconds if seconds is not None and _SHORTEST <= seconds <= LONGEST_WINDOW else None


_NOTHING = RateLimit()
_UNNAMED = _Item(text="")
