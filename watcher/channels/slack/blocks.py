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

from watcher.channels._text import (
    MARKS,
    MOST_KINDS,
    by_kind,
    counted,
    cut,
    event_data,
    facts,
    headline_of,
    item_errors,
    listed,
    one_line,
    partial_success,
    text_of,
)
from watcher.core.deliveries import Message
from watcher.core.events import event_type
from watcher.core.routing import matches
from watcher.core.tasks import TERMINAL_STATUSES

PLACEHOLDERS = frozenset({"task_id", "task_type", "source", "namespace", "status"})
"""What a link's template may hold."""
MOST_LINKS = 5

_HEADER, _TEXT, _FIELD, _FIELDS, _BUTTON, _URL = 150, 2900, 1900, 10, 75, 3000
_ALL_TEXT, _ALL_JSON = 9000, 15_000
_SCALES = (1.0, 0.5, 0.25, 0.1)
_ITEM, _ITEMS = 300, 3
_DIGEST, _NAME = 6000, 120  # characters of names in all, and of one


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
    told = event_data(message)
    headline = headline_of(message.type, told)
    text = _escaped_cut(one_line(headline), int(_TEXT * scale))
    if error := text_of(told.get("error_message")):
        text += f": {_escaped_cut(one_line(error), int(_ITEM * scale))}"
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
    return (
        sum(map(len, texts)) <= _ALL_TEXT
        and len(msgspec.json.encode(content).decode()) <= _ALL_JSON
    )


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
    names = by_kind(messages)
    counts = [_cut_count(kind, len(of_a_kind)) for kind, of_a_kind in names.items()]
    text = escape(", ".join(counts))
    room = min(_DIGEST // len(names), _TEXT - 2 * _NAME)
    blocks = [_header(f"🔔 {len(messages)} events")]
    for count, of_a_kind in zip(counts, names.values(), strict=True):
        blocks.append(_section(f"*{escape(count)}*\n{_listed(of_a_kind, room)}"))
    if style.mention and any(matches(style.mention_on, one.type) for one in messages):
        text = f"{style.mention} {text}"
        blocks.insert(1, _section(style.mention))
    return {"text": text, "blocks": blocks}


def _cut_count(kind: str, count: int) -> str:
    return cut(counted(kind, count), _NAME)


def _listed(names: Sequence[str], room: int) -> str:
    return listed([_escaped_cut(name, _NAME) for name in names], room)


def render_batch(name: str, statuses: Mapping[str, str]) -> dict[str, Any]:
    """Return one Slack message about a batch, whose tasks (by ID) have come to `statuses`: each named, or counted."""
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for task_id, status in statuses.items():
        by_status[
            status if status in by_status or len(by_status) < MOST_KINDS else "others"
        ].append(task_id)
    done = sum(status in TERMINAL_STATUSES for status in statuses.values())
    headline = one_line(f"📦 Batch {text_of(name)}: {done} of {len(statuses)} tasks done")
    room = min(_DIGEST // max(len(by_status), 1), _TEXT - 2 * _NAME)
    blocks = [_header(headline)]
    for status, task_ids in by_status.items():
        mark = MARKS.get(event_type(status), "🔄")
        words = _escaped_cut(status.lower().replace("_", " "), _NAME)
        blocks.append(
            _section(
                f"*{mark} {len(task_ids)} {words}*\n{_listed(list(map(one_line, task_ids)), room)}"
            )
        )
    return {"text": _escaped_cut(headline, _TEXT), "blocks": blocks}


def escape(text: str) -> str:
    """Escape what Slack would read as a mention, a link or an entity (its three control characters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _header(headline: str) -> dict[str, Any]:
    # Plain text is shown as it stands, so nothing is to be escaped here.
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": cut(one_line(headline), _HEADER), "emoji": False},
    }


def _fields(message: Message, told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    lines = [
        {"type": "mrkdwn", "text": f"*{name}*\n{_escaped_cut(value, int(_FIELD * scale))}"}
        for name, value in facts(message, told)
        if value
    ]
    if lines:
        yield {"type": "section", "fields": lines[:_FIELDS]}


def _error(told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    if error := text_of(told.get("error_message")):
        # A quote in a code block would end it; a look-alike does not.
        yield _section(f"```{_escaped_cut(error.replace('```', 'ʼʼʼ'), int(_TEXT * scale) - 6)}```")


def _partial(told: Mapping[str, Any], scale: float) -> Iterator[dict[str, Any]]:
    """Yield, for a partial success, what failed of how much, the rate, and the first item errors."""
    if summary := partial_success(told):
        yield _section(f"*Partial success*: {_escaped_cut(summary, int(_FIELD * scale))}")
    if errors := item_errors(told)[:_ITEMS]:
        yield _section(
            "\n".join(f"• {_escaped_cut(error, int(_ITEM * scale))}" for error in errors)
        )


def _links(told: Mapping[str, Any], style: Style, scale: float) -> Iterator[dict[str, Any]]:
    values = {name: quote(text_of(told.get(name)), safe="") for name in PLACEHOLDERS}
    buttons = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": cut(name, _BUTTON)},
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


def _escaped_cut(text: str, limit: int) -> str:
    """Escape, and cut so that what is escaped keeps the limit and no entity is split."""
    kept = cut(text, limit)
    while len(escaped := escape(kept)) > limit:
        kept = cut(kept, len(kept) - max((len(escaped) - limit) // 5, 1))
    return escaped
