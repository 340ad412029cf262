"""Slack's markup: escaped text, code, links, dates and blocks. Pure.

Slack's limits: https://docs.slack.dev/reference/block-kit/blocks (text of a section or a context
3,000 characters, ten elements of a context, a URL 3,000). `&`, `<` and `>` are escaped, so that
text from upstream cannot mention anyone; the only sequences in angle brackets are ours.
"""

import re
from datetime import UTC, datetime
from typing import Any

from watcher.channels._text import cut_at_word, one_line

TEXT = 2900
"""Maximum number of characters of one text of a block."""
_OUTER = re.compile(r"\A`+|`+\Z")
_SEQUENCE = re.compile(r"<(?:https?://|!date\^)[^<>|]*\|([^<>]*)>")


def escape(text: str) -> str:
    """Escape Slack's three control characters, which start mentions, links and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped_cut(text: str, limit: int) -> str:
    """Escape `text` and cut it to `limit` characters without splitting an entity."""
    kept = cut_at_word(text, limit)
    while len(escaped := escape(kept)) > limit:
        kept = cut_at_word(kept, len(kept) - max((len(escaped) - limit) // 5, 1))
    return escaped


def cut_escaped(text: str, limit: int) -> str:
    """Cut escaped text to `limit` characters without splitting an entity."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    entity = kept.rfind("&")
    return (kept[:entity] if ";" not in kept[entity:] and entity >= 0 else kept) + "…"


def code(text: str, limit: int) -> str:
    """Return `text` as one line in which Slack formats nothing; empty without any."""
    # A backtick would end the code; a similar character does not.
    line = escaped_cut(one_line(text).replace("`", "ʼ"), limit)
    return f"`{line}`" if line else ""


def code_block(text: str, limit: int) -> str:
    """Return `text` with its lines, as a block of code."""
    escaped = escaped_cut(text.replace("```", "ʼʼʼ"), limit - 6)
    # A backtick at either end would be taken for one of the three.
    return f"```{_OUTER.sub(lambda ticks: 'ʼ' * len(ticks[0]), escaped)}```"


def link(url: str, label: str, limit: int) -> str:
    """Return a link of at most `limit` characters; `label` is escaped. Empty if the URL is longer,
    or empty.
    """
    linked = f"<{escape(url).replace('|', '%7C')}|{label}>"
    return linked if url and len(linked) <= limit else ""


def date(at: float) -> str:
    """Return a time that Slack shows in each reader's time zone."""
    fallback = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"<!date^{int(at)}^{{date_short_pretty}} {{time_secs}}|{fallback}>"


def without_sequences(text: str) -> str:
    """Return the labels of our links and dates in place of them."""
    return _SEQUENCE.sub(r"\1", text)


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def context(text: str) -> dict[str, Any]:
    """Return a line in small grey letters."""
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> dict[str, Any]:
    """Return a text in which Slack makes links and mentions of nothing but our own sequences."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}
