"""Text from outside: shown with escapes, cut to a bound, as a metrics label, as an ID. Pure.

Not visible are controls (C0, C1), line separators, what changes the direction or has no width,
blanks other than U+0020, surrogates and, but in an ID, what Unicode has not assigned, and the marks
that are combined with one character beyond the eighth: they would cover the lines around it. What
chooses the form of an emoji is visible after one only.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote

UNSEEN = (
    r"\x00-\x1f\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    r"\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    r"\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
)
"""What is not visible, but for U+0020, as the inside of a character class of any regular expression
syntax. U+FE0E and U+FE0F, which choose the form of an emoji, are not part of it."""
_FURTHER_UNSEEN = (
    r"\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""The same beyond U+FFFF, and surrogates: not every syntax has these."""
UNSEEN_IN_ID = UNSEEN + r"\x20\ufe0e\ufe0f"
_MARK = (
    r"[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0730-\u074a"
    r"\u07eb-\u07f3\u0816-\u082d\u0898-\u089f\u08ca-\u08ff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc"
    r"\u0ec8-\u0ece\u0f71-\u0f87\u0f8d-\u0fbc\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f"
    r"\ua66f-\ua67d\ufe20-\ufe2f]"
)
"""What is drawn above, below or around the character before it."""
_MARKS_SHOWN = 8
_WITH_FORMS = r"\xa9\xae\u203c-\ufe0d\ufe10-\U0010ffff"
_KEYS = "#*0-9"
"""What may be an emoji, so that the next character may choose its form; these only as key caps."""
_UNSEEN = re.compile(
    # Each alternative begins with the character itself, because that fails fastest.
    f"[{UNSEEN}{_FURTHER_UNSEEN}]|{_MARK}(?<={_MARK}{{{_MARKS_SHOWN + 1}}})"
    rf"|[\ufe0e\ufe0f](?:(?<![{_WITH_FORMS}{_KEYS}].)|(?<=[{_KEYS}].)(?!\u20e3))",
    re.DOTALL,
)
_NOT_IN_ID = re.compile(rf"[{UNSEEN_IN_ID}{_FURTHER_UNSEEN}]")

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LABEL_BYTES = 128
_ID_LENGTH = 256

ERROR_MESSAGE_LIMIT = 8192
"""Characters kept of a task's error."""
REASON_LIMIT = 1000
"""Characters kept of any other text that says why: of a failed request, an attempt, an outage."""
RESPONSE_KEPT = 1024
"""Characters kept of a receiver's response."""
NAME_LIMIT = 256
"""Characters kept of a word of upstream: a task type, a status, a namespace."""

OTHER = "other"
"""The metrics label of what cannot be one."""


def is_shown(text: str) -> bool:
    """Return whether every character is visible, or an ordinary space."""
    return text.isprintable() and (text.isascii() or _UNSEEN.search(text) is None)


def holds_unseen(text: str) -> bool:
    """Return whether a character is not visible; one that Python does not know yet is."""
    return _UNSEEN.search(text) is not None


def visible(text: str) -> str:
    """Return `text` on one line, with escapes such as `\\x1b` for what is not visible."""
    return text if is_shown(text) else _replaced(text, _escape)


def visible_lines(text: str) -> str:
    """Return `text` like `visible`, but keep its line feeds."""
    return "\n".join(map(visible, text.split("\n")))


def spaced(text: str) -> str:
    """Return `text` on one line, with a space for each character that is not visible."""
    return text if is_shown(text) else _replaced(text, lambda _: " ")


def visible_json(text: str) -> str:
    """Return the same JSON, with `\\u` escapes for what is not visible within its strings."""
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return "\n".join(
        line if is_shown(line) else _replaced(line, _json_escape) for line in text.split("\n")
    )


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; an ellipsis is the last one if it was longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def label(text: str) -> str:
    """Return `text` if it can be the value of a metrics label, else `OTHER`.

    A label has at most 128 bytes, all of them visible, and none that the text format escapes.
    """
    if len(text) > _LABEL_BYTES or not is_shown(text) or '"' in text or "\\" in text:
        return OTHER
    return text if len(text.encode()) <= _LABEL_BYTES else OTHER


def check_id(text: str) -> str:
    """Return `text` if it can be the ID of something, and so a segment of a path.

    An ID has 1 to 256 visible characters, no slash or backslash, and is neither `.` nor `..`; what
    a gateway that decodes it once more would read has to be one too. Raises `ValueError` otherwise.
    """
    if not 1 <= len(text) <= _ID_LENGTH:
        raise ValueError(f"an ID has 1 to {_ID_LENGTH} characters")
    if _NOT_IN_ID.search(text) is not None:
        raise ValueError("an ID has visible characters only, and no spaces")
    if "/" in text or "\\" in text or text in (".", ".."):
        raise ValueError("an ID contains no slash, and is not . or ..")
    if "%" in text and (decoded := unquote(text)) != text:
        try:
            check_id(decoded)
        except ValueError as error:
            raise ValueError(f"{error}, not percent-encoded either") from None
    return text


def is_id(text: object) -> bool:
    """Return whether `text` is one that `check_id` accepts."""
    if not isinstance(text, str):
        return False
    try:
        check_id(text)
    except ValueError:
        return False
    return True


def _replaced(text: str, by: Callable[[str], str]) -> str:
    seen = "".join(char if char.isprintable() else by(char) for char in text)
    for _ in range(2):  # what chooses the form of an unseen character is not visible either
        seen = _UNSEEN.sub(lambda unseen: by(unseen[0]), seen)
    return seen


def _escape(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(char: str) -> str:
    pair = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pair[start : start + 4]}" for start in range(0, len(pair), 4))
