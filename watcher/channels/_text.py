"""What people are told of an event, in words: the same for every channel that people read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from watcher.core.deliveries import Message

MOST_KINDS = 20
"""So many kinds of events, or statuses, are told apart in one message."""

MARKS = {
    "task.completed": "✅",
    "task.completed_with_errors": "⚠️",
    "task.failed": "❌",
    "task.canceled": "🚫",
    "task.lost": "❓",
    "task.stalled": "⏳",
    "source.unreachable": "🔌",
    "source.recovered": "✅",
    "channel.failing": "📪",
    "channel.recovered": "✅",
    "channel.stopped": "🛑",
}
"""A picture for each type of event; others have a bell."""

_UNKNOWN = "🔔"


def event_data(message: Message) -> Mapping[str, Any]:
    """Return the event's `data`, empty where the body is no event."""
    try:
        event = msgspec.json.decode(message.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    told = event.get("data") if isinstance(event, dict) else None
    return told if isinstance(told, dict) else {}


def headline_of(kind: str, told: Mapping[str, Any]) -> str:
    """Return what happened, and to whom, with its picture."""
    mark = MARKS.get(kind, _UNKNOWN)
    subject, _, happening = kind.partition(".")
    words = happening.replace("_", " ") or subject
    if subject == "task":
        return f"{mark} Task {words}: {text_of(told.get('task_id')) or 'unknown'}"
    name = text_of(told.get(subject))
    return f"{mark} {subject.capitalize()} {words}" + (f": {name}" if name else "")


def facts(message: Message, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of what is known; values may be empty."""
    if message.type.startswith("task."):
        before, now = (
            text_of(told.get("previous_status")) or "not seen",
            text_of(told.get("status")) or "not seen",
        )
        yield "Status", now if before == now else f"{before} → {now}"
        yield "Task", text_of(told.get("task_id"))
        yield "Type", text_of(told.get("task_type"))
        yield "Namespace", text_of(told.get("namespace"))
        labels = told.get("labels")
        if isinstance(labels, dict):
            yield "Labels", ", ".join(f"{name}: {text_of(value)}" for name, value in labels.items())
        if message.watched_for is not None:
            yield "Watched for", format_duration(message.watched_for)
    for name in ("reason", "since", "pending", "active_watches"):
        yield name.replace("_", " ").capitalize(), text_of(told.get(name))


def partial_success(told: Mapping[str, Any]) -> str:
    """Return, for a partial success, how much failed of how much, and the rate."""
    counts = next((one for one in _outputs(told) if "failed_count" in one), {})
    parts = []
    if counts:
        parts.append(
            f"{text_of(counts['failed_count'])} of {text_of(counts.get('processed_count')) or '?'} failed"
        )
    rate = counts.get("success_rate")
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        parts.append(f"success rate {rate:.1%}")
    return ", ".join(parts)


def item_errors(told: Mapping[str, Any]) -> list[str]:
    """Return, for a partial success, what is said of single items, a line each."""
    return [one_line(error) for one in _outputs(told) for error in _item_errors(one)]


def _outputs(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if told.get("status") != "COMPLETED_WITH_ERRORS":
        return []
    outputs = told.get("outputs")
    return [
        one
        for one in (outputs if isinstance(outputs, list) else [outputs])
        if isinstance(one, dict)
    ]


def _item_errors(output: Mapping[str, Any]) -> Iterator[str]:
    for name in ("failed_items", "errors", "failures", "items"):
        items = output.get(name)
        for item in items if isinstance(items, list) else ():
            yield from _item_error(item)
    if "failed_count" not in output:
        yield from _item_error(output)


def _item_error(item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        if text := text_of(item):
            yield text
        return
    said = (
        item.get("error_message") or item.get("error") or item.get("message") or item.get("reason")
    )
    if isinstance(said, dict):
        said = said.get("message")
    if text := text_of(said):
        name = next(
            (
                text_of(item[key])
                for key in ("object_id", "item_id", "id", "document_id")
                if key in item
            ),
            "",
        )
        yield f"{name}: {text}" if name else text


def batch_of(message: Message) -> str | None:
    """Return the batch that a task's event belongs to, None where it says none."""
    further = event_data(message).get("additional_data")
    named = further.get("batch_id") if isinstance(further, dict) else None
    return named if message.type.startswith("task.") and isinstance(named, str) and named else None


def status_of(message: Message) -> tuple[str, str, int]:
    """Return the task that an event is about, what it has come to, and its sequence."""
    told = event_data(message)
    kind = message.type.removeprefix("task.").upper()
    status = kind if kind in ("LOST", "STALLED") else text_of(told.get("status")) or kind
    sequence = told.get("sequence")
    return (
        text_of(told.get("task_id")) or "unknown",
        status,
        sequence if isinstance(sequence, int) else 0,
    )


def by_kind(messages: Sequence[Message]) -> dict[str, list[str]]:
    """Return the names of what `messages` are about, by their types; beyond `MOST_KINDS` types, as "others"."""
    names: dict[str, list[str]] = {}
    for message in messages:
        told = event_data(message)
        subject = message.type.partition(".")[0]
        name = told.get("task_id") if subject == "task" else told.get(subject)
        kind = message.type if message.type in names or len(names) < MOST_KINDS else "others"
        names.setdefault(kind, []).append(one_line(text_of(name)) or "unknown")
    return names


def counted(kind: str, count: int) -> str:
    """Return how many events of a type there are, with its picture."""
    return f"{MARKS.get(kind, _UNKNOWN)} {count} {kind.replace('.', ' ').replace('_', ' ')}"


def listed(names: Sequence[str], room: int) -> str:
    """Return as many names as there is room for, and how many more there are and where to see them."""
    shown: list[str] = []
    used = 0
    for name in names:
        used += len(name) + 2
        if used > room:
            break
        shown.append(name)
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more: `watcher deliveries` lists them" if left else "")


def text_of(value: object) -> str:
    """Return a value as text that shows; empty for what is no single value."""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return "".join(
        char if char.isprintable() or char == "\n" else " " for char in str(value)
    ).strip()


def one_line(text: str) -> str:
    """Return `text` without line breaks."""
    return " ".join(text.split())


def cut(text: str, limit: int) -> str:
    """Cut at a word where one ends in the last fifth, and say so."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    space = max(kept.rfind(" "), kept.rfind("\n"))
    return (kept[:space] if space > limit * 4 // 5 else kept) + "…"


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = int(seconds)
    for size, unit, smaller, name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s" if whole or seconds <= 0 else f"{seconds:.1f} s"
