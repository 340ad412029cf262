"""The parts of every message: a first line, what follows beside a colour bar, and the same as plain
text.

The first line and a mention are in `blocks`, because Slack folds long attachments, and does not
notify about a mention in one. `text` is what a notification shows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watcher.channels.slack.markup import cut_escaped, section, without_sequences

RED, YELLOW, GREEN, GREY = "#d72638", "#e8a317", "#2eb67d", "#868686"
COLOURS = {
    "task.completed": GREEN,
    "task.completed_with_errors": YELLOW,
    "task.failed": RED,
    "task.canceled": YELLOW,
    "task.lost": RED,
    "task.stalled": YELLOW,
    "source.unreachable": RED,
    "source.recovered": GREEN,
    "channel.failing": RED,
    "channel.recovered": GREEN,
    "channel.stopped": RED,
}
"""The colour of each event type; any other is grey."""

_ALL_TEXT, _ALL_JSON = 9000, 15_000
_PLAIN = 3000  # Slack rejects an updated text above 4,000
_INDENT = "\n    "
_BOLD = re.compile(r"\*([^*\n]+)\*")
_NOTE = re.compile(r" — _([a-z0-9 ,.]+)_\Z")


def message(
    *,
    text: str,
    first_line: str,
    colour: str,
    blocks: Sequence[dict[str, Any]],
    mention: str | None,
) -> dict[str, Any]:
    """Return a Slack message. `mention` goes before its first line, in the notification too."""
    before = f"{mention} " if mention else ""
    return {
        "text": before + text,
        "blocks": [section(before + first_line)],
        "attachments": [{"color": colour, "blocks": list(blocks)}] if blocks else [],
    }


def worst_colour(event_types: Sequence[str]) -> str:
    """Return the colour of the worst of the types."""
    found = {COLOURS.get(event_type, GREY) for event_type in event_types}
    return next((colour for colour in (RED, YELLOW, GREY, GREEN) if colour in found), GREY)


def fits(content: Mapping[str, Any]) -> bool:
    """Return whether a message is within our limits for all of its text, and for its JSON."""
    length = len(content["text"]) + sum(map(len, _texts_of(content)))
    return length <= _ALL_TEXT and len(msgspec.json.encode(content).decode()) <= _ALL_JSON


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message as short plain text, with the text of all its blocks, without formatting
    and links of its own.
    """
    text = "\n".join(map(_unformatted, _texts_of(content))) or content["text"]
    return {"text": cut_escaped(text, _PLAIN), "mrkdwn": False, "parse": "none"}


def _unformatted(text: str) -> str:
    """Return a text of a block without our formatting, its further lines marked as such."""
    bare = without_sequences(text)
    is_code = bare.startswith("```")
    bare = bare[3:-3] if is_code else _BOLD.sub(r"\1", bare.replace("`", ""))
    bare = _NOTE.sub(r" — \1", bare)
    return _INDENT.join(bare.splitlines())


def _texts_of(content: Mapping[str, Any]) -> list[str]:
    """Return every text of the blocks, in order."""
    blocks = [*content["blocks"], *(b for one in content["attachments"] for b in one["blocks"])]
    return [text["text"] for block in blocks for text in block.get("elements", [block.get("text")])]
