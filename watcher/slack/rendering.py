"""Events as Block Kit messages that read well in a channel and in a notification.

Limits: https://api.slack.com/reference/block-kit/blocks (header 150 characters, section text 3,000, field 2,000, ten
fields, button text 75, URL 3,000); and of our own, 9,000 characters of text and 15,000 of JSON. `&`, `<` and `>` are
escaped, so that text from upstream can ping nobody.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from watcher.model import TERMINAL_STATUSES, Message, event_type
from watcher.routing import matches

PLACEHOLDERS = frozenset({"task_id", "task_type", "source", "namespace", "status"})
"""What a link's template may hold."""
MOST_LINKS = 5

_HEADER, _TEXT, _FIELD, _FIELDS, _BUTTON, _URL = 150, 2900, 1900, 10, 75, 3000
_ALL_TEXT, _ALL_JSON = 9000, 15_000
_SCALES = (1.0, 0.5, 0.25, 0.1)
_ITEM, _ITEMS = 300, 3
_DIGEST, _DIGEST_KINDS, _FIELD_NAME = 6000, 20, 120  # characters of names in all, kinds shown, characters of one name
_MARKS = {
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


class Style(Protocol):
    """How a channel wants its messages; `links` are URL templates."""

    @property
    def mention(self) -> str | None: ...

    @property
    def mention_on(self) -> tuple[str, ...]: ...

    @property
    def links(self) -> Mapping[str, str]: ...


def render(message: Message, style: Style) -> dict[str, Any]:
    """Return the Slack message (`text` and `blocks`) that tells `message`, within all limits, Slack's and ours."""
    content: dict[str, Any] = {}
    for scale in _SCALES:
        content = _rendered(message, style, scale)
        if _fits(content):
            break
    return content


def _rendered(message: Message, style: Style, scale: float) -> dict[str, Any]:
    """Return the message with each text cut to `scale` of what Slack would take."""
    told = _told(message.body)
    headline = _headline(message.type, told)
    text = _escaped_cut(_one_line(headline), int(_TEXT * scale))
    if error := _text_of(told.get("error_message")):
        text += f": {_escaped_cut(_one_line(error), int(_ITEM * scale))}"
    blocks = [
        _header(headline),
        *_fields(message, told, scale),
        *_error(told, scale),
        *_partial(told, scale),
        *_links(told, style, scale),
    ]
    if style.mention and matches(style.mention_on, message.type):
        text = f"{style.mention} {text}"
        blocks.insert(1, _section(style.mention))
    return {"text": text, "blocks": blocks}


def _fits(content: Mapping[str, Any]) -> bool:
    texts = [content["text"], *_texts(content["blocks"])]
    return sum(map(len, texts)) <= _ALL_TEXT and len(msgspec.json.encode(content).decode()) <= _ALL_JSON


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message without blocks, all of their text in its place."""
    return {"text": "\n".join(_texts(content["blocks"]) or [content["text"]])}


def _texts(blocks: Any) -> list[str]:
    """Return every text that is shown, in order."""
    if isinstance(blocks, list):
        return [text for block in blocks for text in _texts(block)]
    if not isinstance(blocks, dict):
        return []
    if isinstance(text := blocks.get("text"), str):
        return [text]
    return [found for value in blocks.values() for found in _texts(value)]


def render_digest(messages: Sequence[Message], style: Style) -> dict[str, Any]:
    """Return one Slack message that tells all of `messages`: those of a kind together, each named, or counted.

    At most 9,000 characters of text, and 15,000 of JSON.
    """
    names: dict[str, list[str]] = {}
    for message in messages:
        told = _told(message.body)
        subject = message.type.partition(".")[0]
        name = told.get("task_id") if subject == "task" else told.get(subject)
        kind = message.type if message.type in names or len(names) < _DIGEST_KINDS else "others"
        names.setdefault(kind, []).append(_one_line(_text_of(name)) or "unknown")
    counts = [
        f"{_MARKS.get(kind, '🔔')} {len(of_a_kind)} {_cut(kind.replace('.', ' ').replace('_', ' '), _FIELD_NAME)}"
        for kind, of_a_kind in names.items()
    ]
    text = escape(", ".join(counts))
    room = min(_DIGEST // len(names), _TEXT - 2 * _FIELD_NAME)
    blocks = [_header(f"🔔 {len(messages)} events")]
    for count, of_a_kind in zip(counts, names.values(), strict=True):
        blocks.append(_section(f"*{escape(count)}*\n{_listed(of_a_kind, room)}"))
    if style.mention and any(matches(style.mention_on, one.type) for one in messages):
        text = f"{style.mention} {text}"
        blocks.insert(1, _section(style.mention))
    return {"text": text, "blocks": blocks}


def render_batch(name: str, statuses: Mapping[str, str]) -> dict[str, Any]:
    """Return one Slack message about a batch, whose tasks (by ID) have come to `statuses`: each named, or counted."""
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for task_id, status in statuses.items():
        by_status[status if status in by_status or len(by_status) < _DIGEST_KINDS else "others"].append(task_id)
    done = sum(status in TERMINAL_STATUSES for status in statuses.values())
    headline = _one_line(f"📦 Batch {_text_of(name)}: {done} of {len(statuses)} tasks done")
    room = min(_DIGEST // max(len(by_status), 1), _TEXT - 2 * _FIELD_NAME)
    blocks = [_header(headline)]
    for status, task_ids in by_status.items():
        mark = _MARKS.get(event_type(status), "🔄")
        words = _escaped_cut(status.lower().replace("_", " "), _FIELD_NAME)
        blocks.append(_section(f"*{mark} {len(task_ids)} {words}*\n{_listed(list(map(_one_line, task_ids)), room)}"))
    return {"text": _escaped_cut(headline, _TEXT), "blocks": blocks}


def batch_of(message: Message) -> str | None:
    """Return the batch that a task's event belongs to, None where it says none."""
    further = _told(message.body).get("additional_data")
    named = further.get("batch_id") if isinstance(further, dict) else None
    return named if message.type.startswith("task.") and isinstance(named, str) and named else None


def status_of(message: Message) -> tuple[str, str]:
    """Return the task that an event is about, and what it has come to."""
    told = _told(message.body)
    kind = message.type.removeprefix("task.").upper()
    status = kind if kind in ("LOST", "STALLED") else _text_of(told.get("status")) or kind
    return _text_of(told.get("task_id")) or "unknown", status


def _listed(names: Sequence[str], room: int) -> str:
    """Return as many names as there is room for, and how many more there are and where to see them."""
    shown: list[str] = []
    used = 0
    for name in names:
        escaped = _escaped_cut(name, _FIELD_NAME)
        used += len(escaped) + 2
        if used > room:
            break
        shown.append(escaped)
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more: `watcher deliveries` lists them" if left else "")


def escape(text: str) -> str:
    """Escape what Slack would read as a mention, a link or an entity (its three control characters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _told(body: bytes) -> Mapping[str, Any]:
    try:
        event = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    told = event.get("data") if isinstance(event, dict) else None
    return told if isinstance(told, dict) else {}


def _headline(kind: str, told: Mapping[str, Any]) -> str:
    mark = _MARKS.get(kind, "🔔")
    subject, _, happening = kind.partition(".")
    words = happening.replace("_", " ") or subject
    if subject == "task":
        return f"{mark} Task {words}: {_text_of(told.get('task_id')) or 'unknown'}"
    name = _text_of(told.get(subject))
    return f"{mark} {subject.capitalize()} {words}" + (f": {name}" if name else "")


def _header(headline: str) -> dict[str, Any]:
    # Plain text is shown as it stands, so nothing is to be escaped here.
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": _cut(_one_line(headline), _HEADER), "emoji": False},
    }


def _fields(message: Message, told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    lines = [
        {"type": "mrkdwn", "text": f"*{name}*\n{_escaped_cut(value, int(_FIELD * scale))}"}
        for name, value in _facts(message, told)
        if value
    ]
    if lines:
        yield {"type": "section", "fields": lines[:_FIELDS]}


def _facts(message: Message, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if message.type.startswith("task."):
        before, now = _text_of(told.get("previous_status")) or "not seen", _text_of(told.get("status")) or "not seen"
        yield "Status", now if before == now else f"{before} → {now}"
        yield "Task", _text_of(told.get("task_id"))
        yield "Type", _text_of(told.get("task_type"))
        yield "Namespace", _text_of(told.get("namespace"))
        labels = told.get("labels")
        if isinstance(labels, dict):
            yield "Labels", ", ".join(f"{name}: {_text_of(value)}" for name, value in labels.items())
        if message.watched_for is not None:
            yield "Watched for", humanised(message.watched_for)
    for name in ("reason", "since", "pending", "active_watches"):
        yield name.replace("_", " ").capitalize(), _text_of(told.get(name))


def _error(told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    if error := _text_of(told.get("error_message")):
        # A quote in a code block would end it; a look-alike does not.
        yield _section(f"```{_escaped_cut(error.replace('```', 'ʼʼʼ'), int(_TEXT * scale) - 6)}```")


def _partial(told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    """Yield, for a partial success, what failed of how much, the rate, and the first item errors."""
    if told.get("status") != "COMPLETED_WITH_ERRORS":
        return
    outputs = told.get("outputs")
    found = [one for one in (outputs if isinstance(outputs, list) else [outputs]) if isinstance(one, dict)]
    counts = next((one for one in found if "failed_count" in one), {})
    parts = []
    if counts:
        parts.append(f"{_text_of(counts['failed_count'])} of {_text_of(counts.get('processed_count')) or '?'} failed")
    rate = counts.get("success_rate")
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        parts.append(f"success rate {rate:.1%}")
    if parts:
        yield _section(f"*Partial success*: {_escaped_cut(', '.join(parts), int(_FIELD * scale))}")
    errors = [error for one in found for error in _item_errors(one)][:_ITEMS]
    if errors:
        yield _section("\n".join(f"• {_escaped_cut(_one_line(error), int(_ITEM * scale))}" for error in errors))


def _item_errors(output: Mapping[str, Any]) -> Iterator[str]:
    for name in ("failed_items", "errors", "failures", "items"):
        items = output.get(name)
        for item in items if isinstance(items, list) else ():
            yield from _item_error(item)
    if "failed_count" not in output:
        yield from _item_error(output)


def _item_error(item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        if text := _text_of(item):
            yield text
        return
    said = item.get("error_message") or item.get("error") or item.get("message") or item.get("reason")
    if isinstance(said, dict):
        said = said.get("message")
    if text := _text_of(said):
        name = next((_text_of(item[key]) for key in ("object_id", "item_id", "id", "document_id") if key in item), "")
        yield f"{name}: {text}" if name else text


def _links(told: Mapping[str, Any], style: Style, scale: float) -> Iterator[dict[str, Any]]:
    values = {name: quote(_text_of(told.get(name)), safe="") for name in PLACEHOLDERS}
    buttons = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": _cut(name, _BUTTON)},
            "url": url,
            "action_id": f"link-{number}",
        }
        for number, (name, template) in enumerate(style.links.items())
        if len(url := template.format(**values)) <= _URL * scale
    ]
    if buttons:
        yield {"type": "actions", "elements": buttons}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _text_of(value: object) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in str(value)).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, limit: int) -> str:
    """Cut at a word where one ends in the last fifth, and say so."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    space = max(kept.rfind(" "), kept.rfind("\n"))
    return (kept[:space] if space > limit * 4 // 5 else kept) + "…"


def _escaped_cut(text: str, limit: int) -> str:
    """Escape, and cut so that what is escaped keeps the limit and no entity is split."""
    kept = _cut(text, limit)
    while len(escaped := escape(kept)) > limit:
        kept = _cut(kept, len(kept) - max((len(escaped) - limit) // 5, 1))
    return escaped


def humanised(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s" if whole or seconds <= 0 else f"{seconds:.1f} s"
