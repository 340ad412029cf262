"""What can be wrong with a pattern of event types or a status that selects: a typing error. Pure.

Upstream may invent statuses, so an unknown one is not an error by itself. One that is one or two
letters off a known one, or that no event can have, is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from watcher.core.events import SYSTEM_EVENTS, TASK_ALERTS, event_type
from watcher.core.statuses import StatusTable
from watcher.core.tasks import KNOWN_STATUSES

KNOWN_EVENTS = (*map(event_type, sorted(KNOWN_STATUSES)), *TASK_ALERTS, *SYSTEM_EVENTS)

_STATUSES = StatusTable()
_TASK_EVENT = re.compile(r"task\.[a-z0-9_]+")
_WILD = re.compile(r"[*?\[\]!]")
_HARMLESS = re.compile(r"[\w. +*?-]{0,16}|[A-Za-z_.*?\[\]! -]{0,40}")
_SUBJECTS = ("task", "source", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong with a selector; one that is not `fatal` may be meant."""

    text: str
    fatal: bool


def shown(text: str) -> str:
    """Return `text` in quotes; one that may be a secret in a wrong place is not quoted."""
    return repr(text) if _HARMLESS.fullmatch(text) else "this text"


def mistake_in_status(status: str, known: Iterable[str] = ()) -> Mistake | None:
    """Return what is wrong with a status; None if it is a known one, or one of `known`."""
    canonical = _STATUSES.canonical(status)
    if not canonical:
        return Mistake(text=f"no task has the status {shown(status)}", fatal=True)
    existing = sorted(KNOWN_STATUSES | {one.upper() for one in known})
    if canonical in existing:
        return None
    return _unknown(f"unknown status {shown(status)}", canonical, existing)


def mistake_in_status_pattern(pattern: str) -> Mistake | None:
    """Return what is wrong with a pattern of statuses; None if it matches a known one."""
    if any(fnmatchcase(known, pattern.upper()) for known in KNOWN_STATUSES):
        return None
    if _WILD.search(pattern):
        return Mistake(text=f"{shown(pattern)} matches no known status", fatal=False)
    if pattern.upper() == _STATUSES.canonical(pattern):
        return mistake_in_status(pattern)
    # A pattern is compared as it is, so another spelling of a known status never matches.
    return _unknown(
        f"{shown(pattern)} matches no known status", pattern.upper(), sorted(KNOWN_STATUSES)
    )


def mistake_in_events(pattern: str) -> Mistake | None:
    """Return what is wrong with a pattern of event types; None if it matches a known one."""
    lowered = pattern.lower()
    if any(fnmatchcase(known, lowered) for known in KNOWN_EVENTS):
        return None
    text = f"{shown(pattern)} matches no known event type"
    if _WILD.search(lowered):
        return _mistake_in_wildcards(lowered, text)
    if (suggestion := _suffix_of(lowered)) is not None:
        return Mistake(text=f"{text}; did you mean {suggestion!r}?", fatal=True)
    found = _unknown(text, lowered, KNOWN_EVENTS)
    return found if _TASK_EVENT.fullmatch(lowered) else Mistake(text=found.text, fatal=True)


def nearest(word: str, known: Iterable[str], at_most: int = 2) -> str | None:
    """Return the known word that is the fewest letters off, at most `at_most`; None without one."""
    distances = {one: _distance(word, one, at_most) for one in known}
    close = [one for one, distance in distances.items() if distance <= at_most]
    return min(close, key=distances.__getitem__, default=None)


def _unknown(text: str, word: str, known: Iterable[str]) -> Mistake:
    close = nearest(word, known)
    return Mistake(
        text=text if close is None else f"{text}; did you mean {close!r}?", fatal=close is not None
    )


def _mistake_in_wildcards(pattern: str, text: str) -> Mistake:
    if (close := nearest(_WILD.sub("", pattern), KNOWN_EVENTS)) is not None:
        return Mistake(text=f"{text}; did you mean {close!r}?", fatal=True)
    subject, _, rest = pattern.partition(".")
    close = nearest(subject, _SUBJECTS)
    if close is not None and close != subject:
        return Mistake(text=f"{text}; did you mean '{close}.{rest}'?", fatal=True)
    start = _WILD.split(pattern)[0]
    possible = "task.".startswith(start) or re.match(r"task\.[a-z0-9_]*\Z", start) is not None
    return Mistake(text=text, fatal=not possible)


def _suffix_of(word: str) -> str | None:
    """Return the event type of which only the end was written, such as `failed`."""
    return next((known for known in KNOWN_EVENTS if known.partition(".")[2] == word), None)


def _distance(first: str, second: str, at_most: int) -> int:
    """Return the letters to insert, remove, replace or swap with their neighbour; any number above
    `at_most` where there are more.
    """
    if abs(len(first) - len(second)) > at_most:
        return at_most + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            swapped = i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other
            row.append(min(cost, older[j - 2] + 1) if swapped else cost)
    return row[-1]
