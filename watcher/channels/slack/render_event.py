"""One event as one message.

First line: what happened to which task of which batch, and how many items failed. Beside the bar:
the error in a block of code, one line with ID, type, bucket, duration, time and labels, then links
and the command that shows more.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from watcher.channels._event_fields import observed_at
from watcher.channels._text import (
    DEFAULT_MARK,
    MARKS,
    event_data,
    headline_of,
    item_errors,
    label_texts,
    line_of,
    one_line,
    partial_success,
    place_of,
    text_of,
)
from watcher.channels.slack import content
from watcher.channels.slack.links import Links
from watcher.channels.slack.markup import (
    TEXT,
    code,
    code_block,
    context,
    date,
    escape,
    escaped_cut,
    section,
)
from watcher.channels.slack.outage_lines import (
    command_of_outage,
    outage_blocks,
    outage_line,
    outage_notification,
)
from watcher.core.deliveries import Message
from watcher.core.durations import format_duration

LATE_AFTER = 300.0
"""Seconds after which a message says how long ago its event happened."""

_SCALES = (1.0, 0.5, 0.25, 0.1)
_ID, _FIELD, _LABELS = 256, 256, 600
_ITEM, _ITEMS = 300, 3
_NOTIFIED = 300  # characters of an error in a notification
_PLAIN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,99}")


def render(
    message: Message, links: Mapping[str, str], *, now: float, mention: str | None
) -> dict[str, Any]:
    """Return the Slack message for an event that is sent at `now`, within all limits.

    `links` are URL templates by name.
    """
    rendered: dict[str, Any] = {}
    for scale in _SCALES:
        rendered = _Event(message, links, now, scale).rendered(mention)
        if content.fits(rendered):
            break
    return rendered


def when(at: float | None, now: float, *, sent_again: bool) -> str:
    """Return when an event happened if that is long ago, and whether it is sent again; or nothing.

    Such as `happened 2 h ago, sent again`.
    """
    late = (
        [] if at is None or now - at < LATE_AFTER else [f"happened {format_duration(now - at)} ago"]
    )
    return ", ".join(late + (["sent again"] if sent_again else []))


class _Event:
    """An event with each text cut to the fraction `scale` of its limit."""

    def __init__(
        self, message: Message, templates: Mapping[str, str], now: float, scale: float
    ) -> None:
        self._message = message
        self._data = event_data(message)
        self._at = observed_at(message.body)
        self._when = when(self._at, now, sent_again=message.sent_again)
        self._links = Links(templates, self._data)
        self._scale = scale
        self._is_task = message.type.startswith("task.")

    def rendered(self, mention: str | None) -> dict[str, Any]:
        kind = self._message.type
        blocks = [*self._details(), *self._context(), *self._further()]
        return content.message(
            text=self._notification(),
            first_line=self._first_line() + (f" — _{self._when}_" if self._when else ""),
            colour=content.COLOURS.get(kind, content.GREY),
            blocks=blocks,
            mention=mention,
        )

    def _limit(self, limit: int) -> int:
        return int(limit * self._scale)

    def _notification(self) -> str:
        data, kind = self._data, self._message.type
        text = escaped_cut(one_line(headline_of(kind, data)), self._limit(TEXT))
        if self._is_task:
            detail = line_of(data, "error_message") or line_of(data, "reason")
            detail = f": {detail}" if detail else ""
        else:
            detail = outage_notification(kind, data, self._at)
        text += escaped_cut(detail, self._limit(_NOTIFIED))
        return f"{text} ({self._when})" if self._when else text

    def _first_line(self) -> str:
        data, kind = self._data, self._message.type
        mark = MARKS.get(kind, DEFAULT_MARK)
        subject, _, change = kind.partition(".")
        words = one_line(f"{subject} {change.replace('_', ' ')}").capitalize()
        line = f"{mark} *{escaped_cut(words.replace('*', '∗'), self._limit(_FIELD))}*"
        if not self._is_task:
            return line + outage_line(kind, data, self._at, self._limit(_ID))
        line += ": " + (
            self._links.on("task", line_of(data, "task_id"), self._limit(_ID)) or "unknown"
        )
        if batch := text_of(place_of(data, "batch_id")):
            line += f" in batch {self._links.on('batch', batch, self._limit(_ID))}"
        if failed := partial_success(data):
            line += f" · {escaped_cut(failed, self._limit(_FIELD))}"
        return line

    def _details(self) -> Iterator[dict[str, Any]]:
        """Yield the error, and the first errors of the items of a partial success."""
        data = self._data
        if not self._is_task:
            yield from outage_blocks(self._message.type, data, self._at, self._scale)
            return
        for name in ("error_message", "reason"):
            if error := text_of(data.get(name)):
                yield section(code_block(error, self._limit(TEXT)))
        if errors := item_errors(data)[:_ITEMS]:
            yield section("\n".join(f"• {code(error, self._limit(_ITEM))}" for error in errors))

    def _context(self) -> Iterator[dict[str, Any]]:
        if not self._is_task:
            return
        data, limit = self._data, self._limit(_FIELD)
        bucket, namespace = text_of(place_of(data, "bucket_id")), line_of(data, "namespace")
        watched, at = self._message.watched_for, self._at
        parts = (
            code(line_of(data, "task_id"), self._limit(_ID)),
            code(line_of(data, "task_type"), limit),
            bucket and f"bucket {code(bucket, limit)}",
            namespace and f"namespace {code(namespace, limit)}",
            None if watched is None else f"watched for {format_duration(watched)}",
            None if at is None else date(at),
            *self._labels(),
        )
        if line := " · ".join(part for part in parts if part):
            yield context(line)

    def _labels(self) -> Iterator[str]:
        """Yield the labels, as many as there is room for."""
        used = 0
        for label in map(code, label_texts(self._data), [self._limit(_FIELD)] * 20):
            used += len(label)
            if used > self._limit(_LABELS):
                return
            yield label

    def _further(self) -> Iterator[dict[str, Any]]:
        """Yield the line with the links and the command."""
        if parts := [*self._links.others(), *self._command()]:
            yield context(" · ".join(parts))

    def _command(self) -> Iterator[str]:
        if not self._is_task:
            yield from command_of_outage(self._message.type)
        elif is_plain(task_id := line_of(self._data, "task_id")):
            yield f"`watcher show {escape(task_id)}`"


def is_plain(name: str) -> bool:
    """Return whether a name may be part of a command that people copy into a shell."""
    return _PLAIN_ID.fullmatch(name) is not None
