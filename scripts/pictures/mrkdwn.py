"""Slack's markup as runs of text, each with a style."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape

_TOKEN = re.compile(
    r"(?P<code>`[^`\n]+`)|(?P<link><https?://[^<>|]*\|[^<>]*>)|(?P<date><!date\^\d+\^[^<>|]*\|[^<>]*>)"
    r"|(?P<mention><!\w+>)|(?P<bold>\*[^*\n]+\*)|(?P<italic>(?<!\w)_[^_\n]+_(?!\w))"
)


@dataclass(frozen=True, slots=True)
class Run:
    """Text in one style: `plain`, `bold`, `italic`, `code`, `link` or `mention`."""

    text: str
    style: str


def runs(line: str) -> Iterator[Run]:
    """Yield the runs of one line of mrkdwn."""
    end = 0
    for token in _TOKEN.finditer(line):
        if before := line[end : token.start()]:
            yield Run(unescape(before), "plain")
        kind = token.lastgroup or "plain"
        yield _run(kind, token[0])
        end = token.end()
    if rest := line[end:]:
        yield Run(unescape(rest), "plain")


def _run(kind: str, text: str) -> Run:
    if kind == "mention":
        return Run(f"@{text[2:-1]}", kind)
    if kind == "link":
        return Run(unescape(text[1:-1].partition("|")[2]), kind)
    if kind == "date":
        at = datetime.fromtimestamp(int(text.split("^")[1]), UTC)
        return Run(f"{at:%b} {at.day}, {at:%Y} {at.hour % 12 or 12}:{at:%M:%S %p}", "plain")
    return Run(unescape(text[1:-1]), kind)
