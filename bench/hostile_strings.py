"""Hostile strings, and what must not come out of them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

ALPHABETS = {
    "controls": (*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0))),
    "lines": (
        *("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"),
    ),
    "terminal": (
        *("\x1b[2J", "\x1b[31m", "\x1b[1A", "\x1b[8m", "\x9b2J", "\x1bP1$r\x1b\\", "\x1b]0;t\x07"),
        *(
            "\x1b]8;;http://evil.example\x1b\\x\x1b]8;;\x1b\\",
            "\x1b]52;c;eA==\x07",
            "\b\b\b",
            "\x07",
        ),
    ),
    "direction": ("\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2069", "\u061c"),
    "no width": (
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u034f", "\u180e", "\u3164"),
        *("\u115f", "\u1160", "\uffa0", "\u2800", "\xa0", "\u3000", "\ufff9", "\U0001d173"),
    ),
    "tags": ("\U000e0001", "\U000e0041", "\U000e007f", "\U000e0100", "\U000e01ef"),
    "variations": ("\ufe00", "\ufe0d", "\ufe0e", "\ufe0f", "⚠\ufe0f", "\u180b"),
    "surrogates": ("\ud800", "\udbff", "\udc00", "\udfff", "\ud83d"),
    "marks": tuple("e" + mark * 30 for mark in "\u0301\u0489\u20dd\u0e49\u0f71\ua670\u1ab0\ufe20"),
    "mentions": (
        *(
            "<!channel>",
            "<!here>",
            "<!everyone>",
            "<@U012AB3CD>",
            "<#C1>",
            "<!subteam^S1>",
            "@here",
        ),
        *("@everyone", "<@&1>", "<@123>", "@user", "~channel", "matrix:u/x", "@user:evil.example"),
    ),
    "links": (
        *(
            "<http://evil.example|x>",
            "[x](http://evil.example)",
            "![x](https://evil.example/x.png)",
        ),
        *(
            "https://evil.example",
            "HTTP://evil.example",
            "www.evil.example",
            "mailto:a@evil.example",
        ),
        *(
            "[x]: http://evil.example",
            "tel:1",
            "javascript:alert(1)",
            "//evil.example",
            "<a href=x>",
        ),
        *("<img src=x onerror=y>", "magnet:?x", "xmpp:a", "[x][1]"),
    ),
    "markup": (
        *(
            "```",
            "`",
            "*",
            "**",
            "_",
            "__",
            "~",
            "~~",
            "||",
            "#",
            "# ",
            "> ",
            "- ",
            "| a | b |",
            "<b>",
        ),
        *(
            "&lt;!channel&gt;",
            "&#60;",
            "&amp;",
            "&",
            ";",
            "\\",
            "{task_id}",
            "{0}",
            "{{",
            "}",
            "%s",
        ),
        *("%(name)s", "${x}", "[bold red]", "[/]", "[link=http://evil.example]", "$(id)", "`id`"),
    ),
    "forged": (
        *(
            "\nStatus: COMPLETED",
            "Status: COMPLETED",
            "*Status*",
            "\n*Status*\nCOMPLETED",
            "\n    x",
        ),
        *("\nwatcher: 1 removed", '\n{"level": "error"}', "\n12:00:00 error    forged", "\n- a: b"),
        *("\nwatcher_source_up 0", "\n# HELP x", '"} 1\n', '",x="', "\n• x", "\nevent: x\n\n"),
    ),
    "paths": (
        *(
            "..",
            ".",
            "/",
            "\\",
            "%2e%2e",
            "%2F",
            "%252e%252e",
            "%5c",
            "a/b",
            "/../../v1/tasks",
            "?x=1",
        ),
        *(
            "#x",
            ";x",
            "%00",
            "%0a",
            "%",
            "//evil.example/",
            "@evil.example:80/",
            "cancel",
            "x" * 300,
        ),
    ),
    "ordinary": (
        "task_1",
        "é",
        "任务",
        "😀",
        " ",
        "x",
        "1",
        "api_x",
        "bkt_1",
        "COMPLETED",
        '"',
        "'",
    ),
}
_NAMES = tuple(ALPHABETS)
_MARKS_SHOWN = 16

_LINE_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
_MARKS = frozenset({"Mn", "Me"})
_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"})


class Fault(NamedTuple):
    """One thing that came out of a hostile string: of which kind, and the text with it."""

    kind: str
    text: str


KINDS = ("control", "mention", "link", "line", "route")


class Tally:
    """Counts, by surface, the texts that were looked at, and the faults in them."""

    def __init__(self) -> None:
        self.looked_at: Counter[str] = Counter()
        self.faults: dict[tuple[str, str], list[str]] = {}

    def add(self, surface: str, text: str, *faults: Fault) -> None:
        """Note that `text` came out of `surface`, with these faults."""
        self.looked_at[surface] += 1
        for fault in (*faults, *controls(text)):
            self.faults.setdefault((surface, fault.kind), []).append(fault.text)

    def count(self, surface: str, kind: str) -> int:
        return len(self.faults.get((surface, kind), ()))


def strings(count: int, random: Random) -> Iterator[str]:
    """Yield `count` hostile strings: most mix a few alphabets, some are a flood of one piece."""
    for _ in range(count):
        pieces = [
            piece
            for name in random.sample(_NAMES, random.randint(1, 4))
            for piece in random.choices(ALPHABETS[name], k=random.randint(1, 4))
        ]
        random.shuffle(pieces)
        if random.randrange(100) == 0:
            pieces = [random.choice(pieces)] * random.randint(50, 500)
        yield "".join(pieces)


def lines(text: str) -> list[str]:
    """Return the lines of `text`, wherever any program may begin one."""
    return _LINE_BREAK.split(text)


def controls(text: str) -> Iterator[Fault]:
    """Yield the characters of `text` that are not visible, but for line feeds."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return
    categories = {char: unicodedata.category(char) for char in {*text} - {"\n"}}
    if _UNSEEN.search(text) or not _CONTROLS.isdisjoint(categories.values()):
        yield Fault("control", text)
        return
    marks = 0
    for char in text if not _MARKS.isdisjoint(categories.values()) else "":
        marks = marks + 1 if categories.get(char) in _MARKS else 0
        if marks > _MARKS_SHOWN:
            yield Fault("control", text)
            return


def one_line(text: str) -> Iterator[Fault]:
    """Yield a fault if `text` has a line break."""
    if len(lines(text)) > 1:
        yield Fault("line", text)
