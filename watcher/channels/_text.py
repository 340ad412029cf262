"""Events as text for people: the parts that every such channel shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watcher.channels._event_fields import fields_of
from watcher.core.deliveries import Message
from watcher.core.durations import format_duration
from watcher.core.texts import is_id, spaced

MAX_GROUPS = 20
"""Maximum number of event types, or statuses, listed separately in one message."""

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
"""An emoji for each event type; any other has a bell."""

DEFAULT_MARK = "🔔"
_SUBJECTS = ("task", "source", "channel")
_ITEM_LISTS = ("failed_items", "errors", "failures", "items")
_ITEM_IDS = ("object_id", "item_id", "id", "document_id")
_ITEM_TEXTS = ("error_message", "error", "message", "reason")


def event_data(message: Message) -> Mapping[str, Any]:
    """Return what is shown of the event's `data`; empty if the body is not an event."""
    return fields_of(message.body)


def is_about_a_task(message: Message) -> bool:
    return message.type.startswith("task.")


def headline_of(event_type: str, data: Mapping[str, Any]) -> str:
    """Return what happened and its subject, such as `❌ Task failed: task_1`."""
    mark = MARKS.get(event_type, DEFAULT_MARK)
    subject, _, change = event_type.partition(".")
    words = change.replace("_", " ") or subject
    if subject == "task":
        return f"{mark} Task {words}: {line_of(data, 'task_id') or 'unknown'}"
    name = line_of(data, subject)
    return f"{mark} {subject.capitalize()} {words}" + (f": {name}" if name else "")


def facts(message: Message, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the labels and values to show; a value is one line, and may be empty."""
    if is_about_a_task(message):
        yield from _task_facts(data)
        if message.watched_for is not None:
            yield "Watched for", format_duration(message.watched_for)
    for name in ("reason", "since", "pending", "active_watches"):
        yield name.replace("_", " ").capitalize(), line_of(data, name)


def _task_facts(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    previous = line_of(data, "previous_status") or "not seen"
    status = line_of(data, "status") or "not seen"
    yield "Status", status if previous == status else f"{previous} → {status}"
    yield "Task", line_of(data, "task_id")
    yield "Type", line_of(data, "task_type")
    yield "Namespace", line_of(data, "namespace")
    yield "Labels", ", ".join(label_texts(data))


def label_texts(data: Mapping[str, Any]) -> list[str]:
    """Return the labels of a watch, such as `team: search`, one line each."""
    labels = data.get("labels")
    pairs = labels.items() if isinstance(labels, dict) else ()
    return [one_line(f"{text_of(name)}: {text_of(value)}") for name, value in pairs]


def line_of(data: Mapping[str, Any], name: str) -> str:
    """Return a scalar of an event's `data` as one line; empty without one."""
    return one_line(text_of(data.get(name)))


def partial_success(data: Mapping[str, Any]) -> str:
    """Return how many items of a partial success failed, and the success rate."""
    outputs = _outputs(data)
    counts = next((output for output in outputs if "failed_count" in output), {})
    parts = []
    if counts:
        processed = line_of(counts, "processed_count") or "?"
        failed = one_line(text_of(counts["failed_count"]))
        parts.append(f"{failed} of {processed} failed")
    rates = (_fraction(output.get("success_rate")) for output in (counts, *outputs))
    rate = next((rate for rate in rates if rate is not None), None)
    if rate is not None:
        parts.append(f"success rate {rate:.1%}")
    return ", ".join(parts)


def _fraction(rate: object) -> float | None:
    """Return a success rate between 0 and 1; above 1 it is a percentage. None for anything else."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 100:
        return None
    return rate if rate <= 1 else rate / 100


def item_errors(data: Mapping[str, Any]) -> list[str]:
    """Return the errors of a partial success's items, one line each."""
    return [one_line(error) for output in _outputs(data) for error in _item_errors(output)]


def _outputs(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if data.get("status") != "COMPLETED_WITH_ERRORS":
        return []
    outputs = data.get("outputs")
    candidates = outputs if isinstance(outputs, list) else [outputs]
    return [output for output in candidates if isinstance(output, dict)]


def _item_errors(output: Mapping[str, Any]) -> Iterator[str]:
    for name in _ITEM_LISTS:
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
    error = next((item[key] for key in _ITEM_TEXTS if item.get(key)), None)
    if isinstance(error, dict):
        error = error.get("message")
    if text := text_of(error):
        name = next((text_of(item[key]) for key in _ITEM_IDS if key in item), "")
        yield f"{name}: {text}" if name else text


def batch_of(message: Message) -> str | None:
    """Return the batch of a task's event; None without one that is an ID."""
    return place_of(event_data(message), "batch_id") if is_about_a_task(message) else None


def place_of(data: Mapping[str, Any], name: str) -> str | None:
    """Return the `batch_id` or `bucket_id` of a task's event; None without one that is an ID."""
    additional_data = data.get("additional_data")
    place = additional_data.get(name) if isinstance(additional_data, dict) else None
    return place if isinstance(place, str) and is_id(place) else None


def status_of(message: Message) -> tuple[str, str, int]:
    """Return the task ID of an event, the status to show, and the sequence."""
    data = event_data(message)
    change = message.type.removeprefix("task.").upper()
    status = change if change in ("LOST", "STALLED") else text_of(data.get("status")) or change
    sequence = data.get("sequence")
    return (
        line_of(data, "task_id") or "unknown",
        one_line(status),
        sequence if isinstance(sequence, int) else 0,
    )


def names_by_event_type(messages: Sequence[Message]) -> dict[str, list[str]]:
    """Return the subjects of `messages` by event type.

    Types beyond `MAX_GROUPS` are combined as "others".
    """
    names: dict[str, list[str]] = {}
    for message in messages:
        data = event_data(message)
        subject = message.type.partition(".")[0]
        name = data.get("task_id") if subject == "task" else data.get(subject)
        is_listed = message.type in names or len(names) < MAX_GROUPS
        group = names.setdefault(message.type if is_listed else "others", [])
        group.append(one_line(text_of(name)) or "unknown")
    return names


def count_of(event_type: str, count: int) -> str:
    """Return the number of events of a type, such as `❌ 12 tasks failed`."""
    return f"{MARKS.get(event_type, DEFAULT_MARK)} {counted(event_type, count)}"


def counted(event_type: str, count: int) -> str:
    """Return the number of events of a type in words, such as `12 tasks failed`."""
    subject, _, change = event_type.partition(".")
    if subject not in _SUBJECTS or not change:
        return f"{count:,} {one_line(event_type.replace('.', ' ').replace('_', ' '))}"
    return f"{number_of(count, subject)} {one_line(change.replace('_', ' '))}"


def number_of(count: int, noun: str) -> str:
    """Return a number of things: `1 task`, `1,204 tasks`, `2 active watches`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('ch') else 's'}"


def digest_text(messages: Sequence[Message], limit: int) -> str:
    """Return one text that names or counts all of `messages`, a line for each event type."""
    names_by_type = names_by_event_type(messages)
    room = limit // len(names_by_type)
    return "\n".join(
        f"{count_of(type_, len(names))}: {list_names(names, room)}"
        for type_, names in names_by_type.items()
    )


def list_names(names: Sequence[str], limit: int) -> str:
    """Return as many names as fit in `limit` characters, and how many more there are."""
    shown: list[str] = []
    used = 0
    for name in names:
        used += len(name) + 2
        if used > limit:
            break
        shown.append(name)
    hidden = len(names) - len(shown)
    more = f" and {hidden} more: `watcher deliveries` lists them" if hidden else ""
    return ", ".join(shown) + more


def text_of(value: object) -> str:
    """Return a scalar as visible text with its line feeds; empty for any other value."""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return "\n".join(map(spaced, str(value).split("\n"))).strip()


def one_line(text: str) -> str:
    """Collapse all white space, line breaks included, to single spaces."""
    return " ".join(text.split())


def cut_at_word(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters with an ellipsis, if possible after a whole word."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    space = max(kept.rfind(" "), kept.rfind("\n"))
    return (kept[:space] if space > limit * 4 // 5 else kept) + "…"
