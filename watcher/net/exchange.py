"""One HTTP exchange that always ends: a deadline around the whole of it, a cap on the body, no redirect followed.

A receiver that drips one byte at a time outlives every read timeout, so the deadline stands around everything,
connecting and reading included. The transport is called without a client around it: that halves the cost of a request.
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
"""Seconds; a `Retry-After` beyond it is taken for a mistake and cut to this."""


class ExchangeError(WatcherError):
    """There was no complete answer. `kind` says how far it got; the text holds no header, URL or body.

    `ours` says that the request never left this machine, for a reason that is this machine's.
    """

    def __init__(
        self, kind: Literal["connect", "timeout", "protocol"], text: str, *, ours: bool = False
    ) -> None:
        super().__init__(text)
        self.kind: Literal["connect", "timeout", "protocol"] = kind
        self.ours = ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: `truncated` where its body was longer than asked for, in which case reading stopped there."""

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
    """Send `request` and return the answer with at most `body_limit` bytes of its body, within `deadline` seconds.

    A body that came compressed is unpacked where `decoded`; a few KB of it may unpack to many MB.
    Raises `ExchangeError` where no answer came, or not all of it. An HTTP error status is an answer.
    """
    try:
        with anyio.fail_after(deadline):
            return await _converse(transport, request, body_limit, decoded)
    except TimeoutError:
        raise ExchangeError("timeout", f"no complete answer within {deadline:g} s") from None
    except httpx.ConnectError as error:
        ours = isinstance(error, NotSentError)
        raise ExchangeError("connect", str(error) or "could not connect", ours=ours) from None
    except httpx.TimeoutException as error:
        raise ExchangeError("timeout", str(error) or "timed out") from None
    except httpx.TransportError as error:
        raise ExchangeError("protocol", str(error) or "the connection broke") from None


async def _converse(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, body_limit: int, decoded: bool
) -> Reply:
    response = await transport.handle_async_request(request)
    try:
        chunks: list[bytes] = []
        room = body_limit
        truncated = False
        # httpx's decoders cost as much as all the rest of a large answer; most come as they are.
        encoded = decoded and "content-encoding" in response.headers
        async for chunk in (
            response.aiter_bytes() if encoded else cast(httpx.AsyncByteStream, response.stream)
        ):
            chunks.append(chunk[:room])
            truncated = len(chunk) > room
            room -= len(chunks[-1])
            if truncated:
                break
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=b"".join(chunks),
            truncated=truncated,
        )
    finally:
        # Closing a response that was not read to its end drops the connection; it must not be reused.
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await response.aclose()


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, counted from Unix time `now`.

    Both forms of RFC 9110 section 10.2.3 are read: seconds, and a date. None where there is none or it says nothing;
    any text is survived. At most `MAX_RETRY_AFTER`.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        # A number of twenty digits is finite, but no float needs more than the cap says.
        return min(float(text[:20]), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return min(max(moment - now, 0.0), MAX_RETRY_AFTER)
