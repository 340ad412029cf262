"""A batch as one message, which is updated as its tasks progress."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watcher.channels._text import MARKS, MAX_GROUPS, number_of, one_line, text_of
from watcher.channels.slack import content
from watcher.channels.slack.links import OF_BATCH, Links
from watcher.channels.slack.markup import code, context, escaped_cut, section
from watcher.channels.slack.render_digest import NAMED
from watcher.core.events import event_type
from watcher.core.tasks import TERMINAL_STATUSES

_NAME, _ID, _STATUS = 256, 80, 100
_ALL = 6000  # characters of lines in all
_IN_PROGRESS = "🔄"
_OTHERS = "others"
_ORDER = (content.RED, content.YELLOW, content.GREY, content.GREEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """The tasks of a batch.

    `statuses` maps task IDs to statuses. `ended` counts further tasks by status. `incomplete` is
    set if there are others.
    """

    statuses: Mapping[str, str]
    ended: Mapping[str, int] = field(default_factory=dict)
    incomplete: bool = False


def render_batch(
    name: str,
    state: BatchState,
    links: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one Slack message that names or counts a batch's tasks by status.

    `links` are URL templates by name, `data` that of an event of the batch.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    for task_id, status in state.statuses.items():
        names[status if _is_listed(status, names) else _OTHERS].append(task_id)
    counts = Counter({status: len(task_ids) for status, task_ids in names.items()})
    for status, count in state.ended.items():
        counts[status if _is_listed(status, counts) else _OTHERS] += count
    statuses = sorted(counts, key=lambda status: _ORDER.index(_colour_of(status)))
    room = _ALL // max(len(statuses), 1)
    blocks = [
        section(_line(status, counts[status], names.get(status, ()), room)) for status in statuses
    ]
    linked = Links(links or {}, data or {}, only=OF_BATCH)
    command = ["`watcher ls --status FAILED`"] if "FAILED" in counts else []
    if further := [*linked.others(), *command]:
        blocks.append(context(" · ".join(further)))
    title, progress = one_line(text_of(name)), _progress(counts, incomplete=state.incomplete)
    return content.message(
        text=f"📦 Batch {escaped_cut(title, _NAME)}: {progress}",
        first_line=f"📦 *Batch* {linked.on('batch', title, _NAME)}: {progress}",
        colour=_colour_of(statuses[0]) if statuses else content.GREY,
        blocks=blocks,
        mention=None,
    )


def _is_listed(status: str, listed: Mapping[str, object]) -> bool:
    return status in listed or len(listed) < MAX_GROUPS


def _colour_of(status: str) -> str:
    return content.COLOURS.get(event_type(status), content.GREY)


def _progress(counts: Mapping[str, int], *, incomplete: bool) -> str:
    """Return how many tasks have ended, such as `38 of 40 tasks done, 2 failed`."""
    done = sum(count for status, count in counts.items() if status in TERMINAL_STATUSES)
    total = number_of(sum(counts.values()), "task")
    failed = f", {counts['FAILED']:,} failed" if counts.get("FAILED") else ""
    return f"{done:,} of {'more than ' if incomplete else ''}{total} done{failed}"


def _line(status: str, count: int, task_ids: Sequence[str], room: int) -> str:
    """Return `*❌ 12 failed*: t1, t2 and 10 more`."""
    mark = MARKS.get(event_type(status), _IN_PROGRESS)
    words = escaped_cut(one_line(status.lower().replace("_", " ")), _STATUS)
    names, used = [], 0
    for task_id in task_ids[:NAMED]:
        name = code(task_id, _ID)
        used += len(name) + 2
        if used > room:
            break
        names.append(name)
    hidden = count - len(names)
    more = f" and {hidden:,} more" if names and hidden else ""
    line = f"*{mark} {count:,} {words}*"
    return f"{line}: {', '.join(names)}{more}" if names else line
