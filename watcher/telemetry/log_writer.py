"""Writes log lines in a thread of its own: a pipe that nothing reads blocks nothing else."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

LIMIT = 1 << 20
"""Characters that wait for their reader; what is beyond them is dropped and counted."""


class LogWriter:
    """Takes lines from any thread at once, and writes them to `stream` in their order.

    `notice` returns the line that says how many lines were dropped before it.
    """

    def __init__(self, stream: TextIO, notice: Callable[[int], str], *, limit: int = LIMIT) -> None:
        self.stream = stream
        self._notice = notice
        self._limit = limit
        self._lines: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Let `line` be written, or count it as dropped; returns at once."""
        with self._changed:
            if self._dropped or self._size + len(line) > self._limit:
                self._dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            self._start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until all lines are written; return whether they are."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout)

    def _is_idle(self) -> bool:
        return not (self._lines or self._dropped or self._writing)

    def _start(self) -> None:
        if self._thread is None:
            # A daemon thread: the process ends without it if it still waits for a reader.
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            text = self._taken()
            # The reader may be gone, or the disk full; the daemon runs on.
            with suppress(OSError, ValueError):
                self._write(text)

    def _write(self, text: str) -> None:
        """Write to the file below the stream. A thread that waits within the stream would hold its
        lock, and the interpreter aborts if it ends meanwhile.
        """
        try:
            file = self.stream.fileno()
        except OSError:  # a stream in memory
            self.stream.write(text)
            return
        content = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
        while content:
            content = content[os.write(file, content) :]

    def _taken(self) -> str:
        """Wait for lines, and return them, followed by how many were dropped after them."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._dropped)
            self._writing = True
            text = "".join(self._lines)
            self._lines.clear()
            self._size = 0
            if self._dropped:
                text += self._notice(self._dropped)
                self._dropped = 0
        return text
