"""What a message shows of an outage of a source or a channel, and of its end."""

from collections.abc import Iterator, Mapping
from typing import Any

from watcher.channels._text import line_of, number_of, text_of
from watcher.channels.slack.markup import (
    TEXT,
    code,
    code_block,
    context,
    date,
    escaped_cut,
    section,
)
from watcher.core.clock import parse_rfc3339
from watcher.core.durations import format_duration

_NAME, _FIELD = 256, 256
_RECOVERED = ".recovered"


def outage_line(kind: str, data: Mapping[str, Any], at: float | None, limit: int) -> str:
    """Return what fails or has recovered, and after how long: `: mixpeek after 41 min`."""
    name = code(line_of(data, kind.partition(".")[0]), limit)
    line = f": {name}" if name else ""
    duration = _duration(data, at)
    return f"{line} after {duration}" if duration and kind.endswith(_RECOVERED) else line


def outage_blocks(
    kind: str, data: Mapping[str, Any], at: float | None, scale: float
) -> Iterator[dict[str, Any]]:
    """Yield the last error, and a line with reason, HTTP status, beginning and what waits.

    For a recovery it is what comes late.
    """
    recovered = kind.endswith(_RECOVERED)
    reason, status = text_of(data.get("reason")), line_of(data, "status")
    error = text_of(data.get("error"))
    if not recovered and (shown := error or reason):
        yield section(code_block(shown, int(TEXT * scale)))
    if recovered and (late := _late(data)):
        yield section(late)
    since = _since(data)
    parts = (
        code(reason.replace("_", " "), int(_FIELD * scale)) if error or recovered else "",
        f"HTTP {escaped_cut(status, int(_FIELD * scale))}" if status else "",
        f"since {date(since)}" if since is not None else "",
        "" if recovered else _waiting(data),
    )
    if line := " · ".join(filter(None, parts)):
        yield context(line)


def outage_notification(kind: str, data: Mapping[str, Any], at: float | None) -> str:
    """Return what a notification adds: the reason, or after how long it ended."""
    if not kind.endswith(_RECOVERED):
        reason = line_of(data, "error") or line_of(data, "reason")
        return f": {reason}" if reason else ""
    duration = _duration(data, at)
    return f" after {duration}" if duration else ""


def command_of_outage(kind: str) -> Iterator[str]:
    """Yield the command that shows more."""
    if kind.startswith("source."):
        yield "`watcher status`"
    if kind.startswith("channel."):
        yield "`watcher channels ls`"


def _late(data: Mapping[str, Any]) -> str:
    """Return what was waiting for the recovery."""
    if watches := _count(data, "active_watches"):
        return f"What changed meanwhile of {number_of(watches, 'active watch')} comes late."
    if pending := _count(data, "pending"):
        return f"{number_of(pending, 'delivery')} {'comes' if pending == 1 else 'come'} late."
    return ""


def _waiting(data: Mapping[str, Any]) -> str:
    if watches := _count(data, "active_watches"):
        return number_of(watches, "active watch")
    pending = _count(data, "pending")
    return number_of(pending, "pending delivery") if pending else ""


def _count(data: Mapping[str, Any], name: str) -> int:
    """Return a number of things; 0 for anything else."""
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value < 10**12 else 0


def _since(data: Mapping[str, Any]) -> float | None:
    try:
        return max(parse_rfc3339(line_of(data, "since")), 0.0)
    except (ValueError, OverflowError):
        return None


def _duration(data: Mapping[str, Any], at: float | None) -> str:
    since = _since(data)
    return "" if since is None or at is None or at < since else format_duration(at - since)
