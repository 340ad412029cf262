"""One HTTP exchange that always ends: it has an overall deadline and a limit on the body.

A peer that sends one byte at a time outlives every read timeout, so the deadline covers the whole
exchange, from connecting to reading the body. Redirects are not followed. The transport is called
without an `httpx.AsyncClient`: that halves the cost of a request.
"""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import anyio
import httpx

from watcher.core.errors import WatcherError
from watcher.net.transport import NotSentError

MAX_RETRY_AFTER = 24 * 3600.0
"""Seconds; a longer `Retry-After` is considered a mistake and reduced to this."""


class ExchangeError(WatcherError):
    """No complete response arrived. The text contains no header, URL or body.

    `not_sent` means that the request never left this machine, for a reason on this machine.
    """

    def __init__(
        self, kind: Literal["connect", "timeout", "protocol"], text: str, *, not_sent: bool = False
    ) -> None:
        super().__init__(text)
        self.kind: Literal["connect", "timeout", "protocol"] = kind
        self.not_sent = not_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response; `truncated` if its body was longer than the limit and reading stopped there."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    *,
    deadline: float,
    body_limit: int,
    decoded: bool = True,
) -> Reply:
    """Send `request` and return the response within `deadline` seconds.

    At most `body_limit` bytes of the body are read. `decoded` decompresses the body; a few KB may
    become many MB. An HTTP error status is a response. Raises `ExchangeError` if no response
    arrived, or only a part of it.
    """
    try:
        with anyio.fail_after(deadline):
            return await _send_and_read(transport, request, body_limit, decoded)
    except TimeoutError:
        raise ExchangeError("timeout", f"no complete response within {deadline:g} s") from None
    except httpx.ConnectError as error:
        not_sent = isinstance(error, NotSentError)
        text = str(error) or "could not connect"
        raise ExchangeError("connect", text, not_sent=not_sent) from None
    except httpx.TimeoutException as error:
        raise ExchangeError("timeout", str(error) or "timed out") from None
    except httpx.TransportError as error:
        raise ExchangeError("protocol", str(error) or "the connection broke") from None


async def _send_and_read(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, body_limit: int, decoded: bool
) -> Reply:
    response = await transport.handle_async_request(request)
    try:
        chunks: list[bytes] = []
        remaining = body_limit
        truncated = False
        # httpx's decoders double the cost of a large response; most arrive uncompressed.
        encoded = decoded and "content-encoding" in response.headers
        async for chunk in (
            response.aiter_bytes() if encoded else cast(httpx.AsyncByteStream, response.stream)
        ):
            chunks.append(chunk[:remaining])
            truncated = len(chunk) > remaining
            remaining -= len(chunks[-1])
            if truncated:
                break
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=b"".join(chunks),
            truncated=truncated,
        )
    finally:
        # Closing a partially read response closes its connection, which must not be reused.
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await response.aclose()


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the delay of a `Retry-After` header in seconds, at most `MAX_RETRY_AFTER`.

    Both forms of RFC 9110 section 10.2.3 are supported: seconds, and a date, which is compared with
    the Unix time `now`. None if the header is absent or invalid.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        # Twenty digits are far beyond the maximum, and thousands of them become infinity.
        return min(float(text[:20]), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return min(max(moment - now, 0.0), MAX_RETRY_AFTER)
