"""The status of a response, before the parser shows it: what follows its status line may be
malformed, or never end.
"""

import re
from collections.abc import Callable

_STATUS_LINE = re.compile(rb"(?:\r?\n)*HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD = 64 * 1024
"""Bytes of interim responses in which the status line is looked for."""


class StatusLineSearch:
    """Calls `on_status` with the status of the final response (200 and up), once."""

    def __init__(self, on_status: Callable[[int], None]) -> None:
        self._on_status = on_status
        self._head: bytes | None = b""

    def receive(self, data: bytes) -> None:
        """Continue with the next bytes of the response."""
        if self._head is None:
            return
        head = self._head + data if self._head else data.lstrip(b"\r\n")
        while b"\n" in data and (match := _STATUS_LINE.match(head)) is not None:
            status = int(match[1])
            if status >= 200:
                self._head = None
                self._on_status(status)
                return
            end = _END_OF_HEAD.search(head, match.end() - 2)
            if end is None:
                break
            head = head[end.end() :]
        self._head = head if len(head) <= _LONGEST_HEAD else None
