"""How much of a response may be something else than its body.

The parser limits each line and the number of headers, but neither their sum nor what is between two
pieces of content: interim responses, extensions of chunks, trailers.
"""

import aiohttp

MOST_INTERIM = 8
"""Interim responses (`100 Continue`, `103 Early Hints`) before the response."""
MOST_OVERHEAD = 128 * 1024
"""Bytes of a head, of trailers, or of anything else without content in between."""

_OVERHEAD_PER_BYTE = 8  # chunks of one byte have five


class ResponseLimitError(aiohttp.ClientError):
    """A response has exceeded a limit; the connection is closed."""


class ResponseLimits:
    """Counts the bytes of one response."""

    def __init__(self) -> None:
        self._interim = 0
        self._received = 0
        self._content = 0
        self._since_content = 0

    def interim(self) -> str | None:
        """Note an interim response; return what is wrong, or None."""
        self._interim += 1
        if self._interim > MOST_INTERIM:
            return f"the response has more than {MOST_INTERIM} interim responses"
        return None

    def exceeded(self, received: int, content: int, *, answered: bool) -> str | None:
        """Note `received` more bytes, by which the body has grown to `content` bytes.

        Return what is wrong, or None. `answered` means that the head is complete.
        """
        self._received += received
        self._since_content = 0 if content > self._content else self._since_content + received
        self._content = content
        overhead = self._received - content
        allowed = MOST_OVERHEAD + _OVERHEAD_PER_BYTE * content
        if self._since_content <= MOST_OVERHEAD and overhead <= allowed:
            return None
        part = "framing of the response" if answered else "head of the response"
        return f"the {part} is longer than {MOST_OVERHEAD >> 10} KiB"
