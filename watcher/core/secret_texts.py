"""What a secret of a variable, a file or a setting must not contain. Pure.

What these functions return shows nothing of the secret but the position of one character.
"""

from watcher.core.texts import is_shown

_BLANKS = " \t\r\n"
_CURLY_QUOTES = "‘’‚‛“”„‟"  # what editors make of straight ones
_NAMES = {
    "\ufeff": "a byte-order mark",
    "\xa0": "a no-break space",
    " ": "a space",
    "\t": "a tab",
    "\n": "a line break",
    "\r": "a line break",
}


def without_blanks(text: str) -> str:
    """Return the value of a variable or a file without the blanks and newlines around it.

    Others, such as a no-break space or a byte-order mark, stay: they are mistakes.
    """
    return text.strip(_BLANKS)


def beyond_ascii(text: str, *, spaces: bool = False) -> str | None:
    """Return what a secret contains beyond visible ASCII, and where; None if nothing.

    `spaces` allows U+0020.
    """
    for position, char in enumerate(text):
        if not ("!" <= char <= "~" or (spaces and char == " ")):
            return _named(char, position)
    return None


def not_in_url(text: str) -> str | None:
    """Return what a URL contains that none can, and where; None if nothing.

    Letters of any language are allowed, because clients encode them.
    """
    for position, char in enumerate(text):
        if char == " " or char in _CURLY_QUOTES or not is_shown(char):
            return _named(char, position)
    return None


def _named(char: str, position: int) -> str:
    if char in _CURLY_QUOTES:
        name = "a curly quote"
    elif char in _NAMES:
        name = _NAMES[char]
    elif is_shown(char):
        name = "a character that is not ASCII"
    else:
        name = f"the invisible character U+{ord(char):04X}"
    return f"contains {name} (character {position + 1})"
