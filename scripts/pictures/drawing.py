"""A Slack message as SVG, roughly as Slack shows it. Texts are as wide as in Helvetica."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from scripts.pictures.mrkdwn import Run, runs
from scripts.pictures.payloads import Posted

WIDTH = 760
_MARGIN, _TEXT_X, _BAR = 16, 64, 14
_INK, _GREY, _BLUE, _CODE_INK = "#1d1c1d", "#616061", "#1264a3", "#c01343"
_SANS = "Lato, 'Helvetica Neue', Helvetica, Arial, sans-serif"
_MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_SIZE, _SMALL, _CODE = 15, 13, 12
_LEADING = 1.47
_NARROW = dict.fromkeys("ijl'|", 0.23) | dict.fromkeys(" ,./:;!fIt[]()\\", 0.28)
_WIDE = dict.fromkeys("mM", 0.83) | dict.fromkeys("wWABCDEGHKNOPQRSUVXYZ&", 0.7) | {"@": 1.0}
_WIDTHS = _NARROW | _WIDE | dict.fromkeys("r-`", 0.34) | dict.fromkeys("cksvxyz", 0.5)


def drawing(title: str, messages: Sequence[Posted]) -> str:
    """Return the SVG of messages below each other."""
    canvas = _Canvas()
    for posted in messages:
        canvas.message(posted)
    height = round(canvas.y + _MARGIN)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff" stroke="#ddd"/>',
            *canvas.parts,
            "</svg>\n",
        ]
    )


class _Canvas:
    """Draws downwards; `y` is where the next thing begins."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = float(_MARGIN)
        self._left = _TEXT_X

    def message(self, posted: Posted) -> None:
        """Draw a message; one in a thread is indented."""
        self._left = _TEXT_X + (48 if posted.in_thread else 0)
        self._author(posted.in_thread)
        for block in posted.content["blocks"]:
            self._block(block)
        for attachment in posted.content["attachments"]:
            self._attachment(attachment)
        self.y += 14

    def _author(self, in_thread: bool) -> None:
        size = 24 if in_thread else 36
        x, y = self._left - 12 - size, self.y
        self._rect(x, y, size, size, 'rx="6" fill="#4a154b"')
        self.parts.append(
            f'<path d="M{x + size * 0.25:g} {y + size * 0.5:g}l{size * 0.2:g} {size * 0.2:g}'
            f'l{size * 0.32:g} -{size * 0.36:g}" fill="none" stroke="#fff" stroke-width="3"/>'
        )
        self._text(Run("Watcher", "bold"), self._left, y + 14, _SIZE)
        self._text(Run("APP", "tag"), self._left + 70, y + 13, 10)
        note = "reply in the thread" if in_thread else "#alerts"
        self._text(Run(note, "note"), self._left + 108, y + 13, 12)
        self.y += 20

    def _attachment(self, attachment: Mapping[str, Any]) -> None:
        self.y += 4
        top = self.y
        self._left += _BAR
        for block in attachment["blocks"]:
            self._block(block)
        self._left -= _BAR
        style = f'rx="2" fill="{attachment["color"]}"'
        self._rect(self._left, top, 4, self.y - top, style)

    def _block(self, block: Mapping[str, Any]) -> None:
        is_context = block["type"] == "context"
        texts = [one["text"] for one in block.get("elements", [block.get("text")])]
        for text in texts:
            if text.startswith("```"):
                self._code_block(text[3:-3])
                continue
            for line in text.split("\n"):
                self._line(line, _SMALL if is_context else _SIZE, grey=is_context)
        self.y += 4

    def _line(self, line: str, size: int, *, grey: bool) -> None:
        """Draw a line, broken between words where it is too long."""
        row: list[Run] = []
        for run in _words(line):
            if row and self._left + _length([*row, run], size) > WIDTH - _MARGIN:
                self._row(row, size, grey=grey)
                row = [Run(run.text.lstrip(), run.style)]
            else:
                row.append(run)
        self._row(row, size, grey=grey)

    def _row(self, row: Sequence[Run], size: int, *, grey: bool) -> None:
        x = float(self._left)
        for style, same in groupby(row, lambda run: run.style):
            run = Run("".join(one.text for one in same), style)
            shown = Run(run.text, "grey" if grey and style == "plain" else style)
            self._text(shown, x, self.y + size, size)
            x += _width(run, size)
        self.y += size * _LEADING

    def _code_block(self, text: str) -> None:
        columns = int((WIDTH - _MARGIN - self._left - 16) / (_CODE * 0.602))
        lines = [
            line[start : start + columns]
            for line in text.split("\n")
            for start in range(0, max(len(line), 1), columns)
        ]
        height = len(lines) * _CODE * 1.5 + 14
        width = WIDTH - _MARGIN - self._left
        self._rect(self._left, self.y + 2, width, height, f'rx="4" {_BOXES["code"]}')
        for number, line in enumerate(lines):
            y = self.y + 20 + number * _CODE * 1.5
            self._text(Run(unescape(line), "block"), self._left + 8, y, _CODE)
        self.y += height + 4

    def _text(self, run: Run, x: float, y: float, size: int) -> None:
        if not run.text.strip():
            return
        width = _width(run, size)
        inset = 3 if run.style in _BOXES else 0
        if inset:
            self._rect(x, y - size * 0.9, width - 2, size * 1.2, f'rx="3" {_BOXES[run.style]}')
        is_code = run.style in ("code", "block")
        family, font_size = (_MONO, _CODE) if is_code else (_SANS, size)
        length = width - 2 - 2 * inset if inset else width
        self.parts.append(
            f'<text x="{x + inset:.1f}" y="{y:.1f}" xml:space="preserve" font-family="{family}" '
            f'font-size="{font_size}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
            f"{_STYLES[run.style]}>{escape(run.text)}</text>"
        )

    def _rect(self, x: float, y: float, width: float, height: float, style: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {style}/>'
        )


_STYLES = {
    "plain": f'fill="{_INK}"',
    "grey": f'fill="{_GREY}"',
    "note": f'fill="{_GREY}"',
    "bold": f'fill="{_INK}" font-weight="bold"',
    "italic": f'fill="{_INK}" font-style="italic"',
    "link": f'fill="{_BLUE}"',
    "mention": 'fill="#7a4c00"',
    "code": f'fill="{_CODE_INK}"',
    "block": f'fill="{_INK}"',
    "tag": f'fill="{_GREY}"',
}
_BOXES = {
    "code": 'fill="#f8f8f8" stroke="#ddd"',
    "mention": 'fill="#fdf3d1"',
    "tag": 'fill="#eee"',
}


def unescape(text: str) -> str:
    """Return text without Slack's entities."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _words(line: str) -> Iterator[Run]:
    """Yield runs that a line may break before: words with their space before, code as a whole."""
    for run in runs(line):
        if run.style in ("code", "mention"):
            yield run
            continue
        words = run.text.split(" ")
        for number, word in enumerate(words):
            if text := (" " if number else "") + word:
                yield Run(text, run.style)


def _length(row: Sequence[Run], size: int) -> float:
    return sum(_width(run, size) for run in row)


def _width(run: Run, size: int) -> float:
    if run.style in ("code", "block"):
        return len(run.text) * _CODE * 0.602 + (8 if run.style == "code" else 0)
    ems = sum(_em(char) for char in run.text)
    bold = 1.1 if run.style == "bold" else 1
    return ems * size * bold + (8 if run.style in ("mention", "tag") else 0)


def _em(char: str) -> float:
    if char in "\ufe0f\u200d":
        return 0
    if ord(char) > 0x2500:
        return 1.3  # an emoji
    return _WIDTHS.get(char, 0.556)
