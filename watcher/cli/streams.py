"""The output streams of the commands. What is not visible becomes an escape, from any writer.

While a command runs, `sys.stdout` and `sys.stderr` are guarded: click, tracebacks and any new
command write through them. Colours, and what moves the cursor, go to the `unguarded` stream, after
the text within has been escaped.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from watcher.core.texts import visible_lines


class GuardedStream(io.TextIOBase):
    """Writes to another stream; of all control characters only line feeds pass."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def write(self, text: str | bytes) -> int:
        """Write text, or bytes as click passes them for completions."""
        self.stream.write(visible_lines(text if isinstance(text, str) else text.decode()))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def writable(self) -> bool:
        return True


@contextmanager
def guarded() -> Iterator[None]:
    """Guard both streams while the context runs."""
    before = sys.stdout, sys.stderr
    guards = [GuardedStream(_with_escapes(stream or _nowhere())) for stream in before]
    sys.stdout, sys.stderr = guards
    try:
        yield
    finally:
        # Where click has found a closed pipe, it has replaced them for the rest of the process.
        if [sys.stdout, sys.stderr] == guards:
            sys.stdout, sys.stderr = before


def unguarded(err: bool = False) -> TextIO:
    """Return the stream below the guard, for text that has been escaped."""
    stream = sys.stderr if err else sys.stdout
    return stream.stream if isinstance(stream, GuardedStream) else stream


def _nowhere() -> TextIO:
    """Return a stream for output that was closed before the command began (`>&-`)."""
    return Path(os.devnull).open("w", encoding="utf-8")


def discard() -> None:
    """Discard what cannot be written, which would fail again as the interpreter ends."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and _fails(stream):
            with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def _fails(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


def _with_escapes(stream: TextIO) -> TextIO:
    """Let `stream` escape what its encoding does not have."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
