"""Many events as one message: how many of which type, grouped by batch and error."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from watcher.channels._event_fields import observed_at
from watcher.channels._text import (
    DEFAULT_MARK,
    MARKS,
    MAX_GROUPS,
    counted,
    cut_at_word,
    event_data,
    line_of,
    one_line,
    place_of,
    text_of,
)
from watcher.channels.slack import content
from watcher.channels.slack.links import OPEN, Links
from watcher.channels.slack.markup import code, context, escape, escaped_cut, link, section
from watcher.channels.slack.render_event import when
from watcher.core.clock import rfc3339
from watcher.core.deliveries import Message
from watcher.core.events import TASK_ALERTS

NAMED = 5
"""Maximum number of IDs of one group."""

_GROUPS = 8
_ALL, _SECTION = 5000, 2400  # characters of lines in all, and of one type
_ERROR, _ID, _TYPE, _LINK = 150, 80, 100, 2500
_VARYING = re.compile(r"\b(?=\w*\d)[\w-]{2,}|\d+")
_STATUS = re.compile(r"[A-Z_]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """What a digest shows of one event."""

    type: str
    name: str
    batch: str
    error: str
    status: str
    links: Links


@dataclass(slots=True, kw_only=True)
class _Group:
    """Events of one type with the same batch, and with errors that differ in IDs and numbers."""

    events: list[_One] = field(default_factory=list)

    @property
    def error(self) -> str:
        """The error, with what differs as an ellipsis."""
        first = self.events[0].error
        return first if all(one.error == first for one in self.events) else _pattern(first)


def render_digest(
    messages: Sequence[Message],
    links: Mapping[str, str],
    *,
    now: float,
    mention: str | None,
    pages: str | None = None,
) -> dict[str, Any]:
    """Return one Slack message that names or counts all of `messages`, within all limits.

    `links` are URL templates by name, `pages` is where the watcher's own pages are.
    """
    by_type = _by_type(messages, links)
    counts = [
        f"{MARKS.get(kind, DEFAULT_MARK)} {escaped_cut(counted(kind, len(ones)), _TYPE)}"
        for kind, ones in by_type.items()
    ]
    text, first_line = ", ".join(counts), f"🔔 *{len(messages):,} events*"
    if len(counts) == 1:
        mark, _, words = counts[0].partition(" ")
        first_line = f"{mark} *{words}*"
    times = [at for message in messages if (at := observed_at(message.body)) is not None]
    again = sum(message.sent_again for message in messages)
    if note := when(min(times, default=None), now, sent_again=again == len(messages)):
        note = note.replace("happened", "the first happened")
        text, first_line = f"{text} ({note})", f"{first_line} — _{note}_"
    room = min(_ALL // len(by_type), _SECTION)
    blocks = [
        section(_of_type(kind, ones, heading if len(counts) > 1 else "", room))
        for heading, (kind, ones) in zip(counts, by_type.items(), strict=True)
    ]
    if pages is not None and times and (opened := _page_link(pages, by_type, min(times))):
        blocks.append(context(opened))
    colour = content.worst_colour([*by_type])
    return content.message(
        text=text, first_line=first_line, colour=colour, blocks=blocks, mention=mention
    )


def _page_link(pages: str, by_type: Mapping[str, Sequence[_One]], since: float) -> str:
    """Return the link to the list of these tasks: of the failed ones if there are any. Empty if the
    events are about no tasks.
    """
    statuses = {
        one.status
        for ones in by_type.values()
        for one in ones
        if one.type.startswith("task.") and one.type not in TASK_ALERTS and one.status
    }
    if not statuses:
        return ""
    worst = "FAILED" if "FAILED" in statuses else min(statuses)
    began = rfc3339(math.floor(since)).replace(".000000", "")
    query = urlencode({"status": worst, "since": began})
    return link(f"{pages}/tasks?{query}", OPEN, _LINK)


def _by_type(messages: Sequence[Message], links: Mapping[str, str]) -> dict[str, list[_One]]:
    """Return the events by type; types beyond `MAX_GROUPS` are combined as "others"."""
    found: dict[str, list[_One]] = {}
    for message in messages:
        is_listed = message.type in found or len(found) < MAX_GROUPS
        found.setdefault(message.type if is_listed else "others", []).append(_one(message, links))
    return found


def _one(message: Message, links: Mapping[str, str]) -> _One:
    data = event_data(message)
    subject = message.type.partition(".")[0]
    is_task = subject == "task"
    errors = (data.get(name) for name in ("error_message", "error", "reason"))
    error = next((line for each in errors if (line := one_line(text_of(_beginning(each))))), "")
    return _One(
        type=message.type,
        name=cut_at_word(line_of(data, "task_id" if is_task else subject) or "unknown", 256),
        batch=text_of(place_of(data, "batch_id")) if is_task else "",
        error=cut_at_word(error, _ERROR),
        status=line_of(data, "status"),
        links=Links(links, data),
    )


def _beginning(error: object) -> object:
    """Return as much of an error as may be shown: a digest has a thousand of them."""
    return error[: 4 * _ERROR] if isinstance(error, str) else error


def _of_type(kind: str, ones: Sequence[_One], heading: str, room: int) -> str:
    """Return the section of one type: a line for each group, the largest first, and how many are
    not named.
    """
    lines, named, used = [f"*{heading}*"] if heading else [], 0, 0
    for group in _groups(ones)[:_GROUPS]:
        line, shown = _line_of_group(group, room - used, alone=len(group.events) == len(ones))
        if not shown:
            break
        lines.append(line)
        named, used = named + shown, used + len(line)
    if hidden := len(ones) - named:
        lines.append(f"and {hidden:,} more: {_command(kind, ones)}")
    return "\n".join(lines)


def _groups(ones: Sequence[_One]) -> list[_Group]:
    groups: dict[tuple[str, str], _Group] = {}
    for one in ones:
        groups.setdefault((one.batch, _pattern(one.error)), _Group()).events.append(one)
    return sorted(groups.values(), key=lambda group: -len(group.events))


def _line_of_group(group: _Group, room: int, *, alone: bool) -> tuple[str, int]:
    """Return `• 6 × CUDA out of memory in batch b: t1, t2, …` and how many IDs it names."""
    first = group.events[0]
    head = [] if alone and not group.error else [f"{len(group.events):,} ×"]
    head += [code(group.error, _ERROR)] if group.error else []
    head += [f"in batch {first.links.on('batch', first.batch, _ID)}"] if first.batch else []
    line, named = "• " + " ".join(head) + (": " if head else ""), 0
    for one in group.events[:NAMED]:
        kind = "task" if one.type.startswith("task.") else ""
        name = (", " if named else "") + one.links.on(kind, one.name, _ID)
        if len(line) + len(name) > room:
            break
        line, named = line + name, named + 1
    return line, named


def _command(kind: str, ones: Sequence[_One]) -> str:
    """Return the command that lists the events of a type that are not named."""
    status = ones[0].status
    if not kind.startswith("task."):
        return "`watcher status`"
    is_status = kind not in ("task.lost", "task.stalled") and _STATUS.fullmatch(status)
    return f"`watcher ls --status {escape(status)}`" if is_status else "`watcher ls`"


def _pattern(error: str) -> str:
    """Return an error with its IDs and numbers as ellipses."""
    return _VARYING.sub("…", error)
