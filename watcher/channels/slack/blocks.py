"""Events as Block Kit messages that are readable in a channel and in a notification.

Slack's limits: https://api.slack.com/reference/block-kit/blocks (header 150 characters, section
text 3,000, field 2,000, ten fields, button text 75, URL 3,000). Our own: 9,000 characters of text
and 15,000 of JSON. `&`, `<` and `>` are escaped, so that text from upstream cannot mention anyone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from watcher.channels._text import (
    MARKS,
    MAX_GROUPS,
    count_of,
    cut,
    event_data,
    facts,
    headline_of,
    item_errors,
    list_names,
    names_by_event_type,
    one_line,
    partial_success,
    text_of,
)
from watcher.core.deliveries import Message
from watcher.core.events import event_type
from watcher.core.routing import matches
from watcher.core.tasks import TERMINAL_STATUSES
from watcher.net.url import quote_segment

PLACEHOLDERS = frozenset({"task_id", "task_type", "source", "namespace", "status"})
"""The placeholders of a link's URL template."""
MAX_LINKS = 5

_HEADER, _TEXT, _FIELD, _FIELDS, _BUTTON, _URL = 150, 2900, 1900, 10, 75, 3000
_ALL_TEXT, _ALL_JSON = 9000, 15_000
_PLAIN = 3000  # Slack rejects an updated text above 4,000
_LABEL = re.compile(r"\A\*([^*\n]+)\*:?\s+")
_INDENT = "\n    "
_SCALES = (1.0, 0.5, 0.25, 0.1)
_ITEM, _ITEMS = 300, 3
_DIGEST, _NAME = 6000, 120  # characters of names in all, and of one


class Style(Protocol):
    """A channel's settings for its messages; `links` are URL templates."""

    @property
    def mention(self) -> str | None: ...

    @property
    def mention_on(self) -> tuple[str, ...]: ...

    @property
    def links(self) -> Mapping[str, str]: ...


def render(message: Message, style: Style) -> dict[str, Any]:
    """Return the Slack message (`text` and `blocks`) for an event, within all limits."""
    content: dict[str, Any] = {}
    for scale in _SCALES:
        content = _render_scaled(message, style, scale)
        if _fits(content):
            break
    return content


def render_all(messages: Sequence[Message], style: Style) -> dict[str, Any]:
    """Return one Slack message for one event or for several."""
    return render(messages[0], style) if len(messages) == 1 else render_digest(messages, style)


def _render_scaled(message: Message, style: Style, scale: float) -> dict[str, Any]:
    """Return the message with each text cut to the fraction `scale` of Slack's limit."""
    data = event_data(message)
    headline = headline_of(message.type, data)
    text = escaped_cut(one_line(headline), int(_TEXT * scale))
    if error := text_of(data.get("error_message")):
        text += f": {escaped_cut(one_line(error), int(_ITEM * scale))}"
    blocks = [
        _header(headline),
        *_fields(message, data, scale),
        *_error(data, scale),
        *_partial(data, scale),
        *_links(data, style, scale),
    ]
    if style.mention and matches(style.mention_on, message.type):
        text = f"{style.mention} {text}"
        blocks.insert(1, _section(style.mention))
    return {"text": text, "blocks": blocks}


def _fits(content: Mapping[str, Any]) -> bool:
    texts = [content["text"], *_escaped_texts(content["blocks"])]
    return (
        sum(map(len, texts)) <= _ALL_TEXT
        and len(msgspec.json.encode(content).decode()) <= _ALL_JSON
    )


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message as short plain text, with the text of all its blocks, without formatting
    and links of its own.
    """
    text = "\n".join(map(_unformatted, _escaped_texts(content["blocks"]))) or content["text"]
    return {"text": _cut_escaped(text, _PLAIN), "mrkdwn": False, "parse": "none"}


def _unformatted(text: str) -> str:
    """Return a text of a block without our formatting, its further lines marked as such."""
    unformatted = _LABEL.sub(r"\1: ", text, count=1).replace("```", "")
    return _INDENT.join(unformatted.splitlines())


def _cut_escaped(text: str, limit: int) -> str:
    """Cut escaped text to `limit` characters without splitting an entity."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    entity = kept.rfind("&")
    return (kept[:entity] if ";" not in kept[entity:] and entity >= 0 else kept) + "…"


def _escaped_texts(blocks: Any) -> list[str]:
    """Return every visible text, in order; plain texts of blocks are not escaped there."""
    if isinstance(blocks, list):
        return [text for block in blocks for text in _escaped_texts(block)]
    if not isinstance(blocks, dict):
        return []
    if isinstance(text := blocks.get("text"), str):
        return [escape(text) if blocks.get("type") == "plain_text" else text]
    return [text for value in blocks.values() for text in _escaped_texts(value)]


def render_digest(messages: Sequence[Message], style: Style) -> dict[str, Any]:
    """Return one Slack message that names or counts all of `messages` by event type."""
    names_by_type = names_by_event_type(messages)
    counts = [cut(count_of(type_, len(names)), _NAME) for type_, names in names_by_type.items()]
    text = escape(", ".join(counts))
    limit = min(_DIGEST // len(names_by_type), _TEXT - 2 * _NAME)
    blocks = [_header(f"🔔 {len(messages)} events")]
    for count, names in zip(counts, names_by_type.values(), strict=True):
        blocks.append(_section(f"*{escape(count)}*\n{_list_escaped(names, limit)}"))
    if style.mention and any(matches(style.mention_on, message.type) for message in messages):
        text = f"{style.mention} {text}"
        blocks.insert(1, _section(style.mention))
    return {"text": text, "blocks": blocks}


def _list_escaped(names: Sequence[str], limit: int) -> str:
    return list_names([escaped_cut(name, _NAME) for name in names], limit)


def render_batch(name: str, statuses: Mapping[str, str]) -> dict[str, Any]:
    """Return one Slack message that names or counts a batch's tasks by status.

    `statuses` maps task IDs to statuses.
    """
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for task_id, status in statuses.items():
        is_listed = status in by_status or len(by_status) < MAX_GROUPS
        by_status[status if is_listed else "others"].append(task_id)
    done = sum(status in TERMINAL_STATUSES for status in statuses.values())
    headline = one_line(f"📦 Batch {text_of(name)}: {done} of {len(statuses)} tasks done")
    limit = min(_DIGEST // max(len(by_status), 1), _TEXT - 2 * _NAME)
    blocks = [_header(headline)]
    for status, task_ids in by_status.items():
        mark = MARKS.get(event_type(status), "🔄")
        words = escaped_cut(status.lower().replace("_", " "), _NAME)
        names = _list_escaped([one_line(task_id) for task_id in task_ids], limit)
        blocks.append(_section(f"*{mark} {len(task_ids)} {words}*\n{names}"))
    return {"text": escaped_cut(headline, _TEXT), "blocks": blocks}


def escape(text: str) -> str:
    """Escape Slack's three control characters, which start mentions, links and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _header(headline: str) -> dict[str, Any]:
    # Slack shows plain text as it is, so it must not be escaped.
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": cut(one_line(headline), _HEADER), "emoji": False},
    }


def _fields(message: Message, data: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    lines = [
        _mrkdwn(f"*{name}*\n{escaped_cut(value, int(_FIELD * scale))}")
        for name, value in facts(message, data)
        if value
    ]
    if lines:
        yield {"type": "section", "fields": lines[:_FIELDS]}


def _error(data: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    if error := text_of(data.get("error_message")):
        # Three backticks would end the code block; similar characters do not.
        yield _section(f"```{escaped_cut(error.replace('```', 'ʼʼʼ'), int(_TEXT * scale) - 6)}```")


def _partial(data: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    """Yield the counts and the first item errors of a partial success."""
    if summary := partial_success(data):
        yield _section(f"*Partial success*: {escaped_cut(summary, int(_FIELD * scale))}")
    if errors := item_errors(data)[:_ITEMS]:
        yield _section("\n".join(f"• {escaped_cut(error, int(_ITEM * scale))}" for error in errors))


def _links(data: Mapping[str, Any], style: Style, scale: float) -> Iterator[dict[str, Any]]:
    values = {name: quote_segment(text_of(data.get(name))) for name in PLACEHOLDERS}
    buttons = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": cut(name, _BUTTON)},
            "url": url,
            "action_id": f"link-{index}",
        }
        for index, (name, template) in enumerate(style.links.items())
        if len(url := template.format(**values)) <= _URL * scale
    ]
    if buttons:
        yield {"type": "actions", "elements": buttons}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> dict[str, Any]:
    """Return a text in which Slack makes links and mentions of nothing but our own sequences."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def escaped_cut(text: str, limit: int) -> str:
    """Escape `text` and cut it to `limit` characters without splitting an entity."""
    kept = cut(text, limit)
    while len(escaped := escape(kept)) > limit:
        kept = cut(kept, len(kept) - max((len(escaped) - limit) // 5, 1))
    return escaped
