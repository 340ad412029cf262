"""Task IDs on standard input, one per line."""

import codecs
import sys

import click

from watcher.core.texts import check_id

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read() -> list[str]:
    """Return the IDs. Blank lines, white space around an ID and byte-order marks do not count.

    Raises `click.UsageError` with the number of the first line that cannot be an ID, so that
    nothing of a broken list is used.
    """
    content = b"" if sys.stdin is None else sys.stdin.buffer.read()
    # Windows PowerShell redirects in UTF-16.
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        lines = content.decode(encoding).splitlines()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not valid UTF-8") from None
    return [_checked(line.strip(), number) for number, line in enumerate(lines, 1) if line.strip()]


def _checked(text: str, number: int) -> str:
    try:
        check_id(text)
    except ValueError as error:
        raise click.UsageError(f"standard input, line {number}: {error}") from None
    return text
