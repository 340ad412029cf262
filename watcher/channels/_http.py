"""What a receiver's answer means for a delivery: one table for every channel that speaks HTTP."""

import httpx

from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.net.exchange import ExchangeError, Reply, exchange, retry_after

ANSWER_LIMIT = 8192
"""Bytes read of a receiver's answer."""

_OVERLOADED = frozenset({429, 502, 503, 504})
_PERSISTENT = frozenset({401, 403, 404})
_TRANSIENT = frozenset({408, 425})
_SHOWN = 200
_KEPT = 1024


async def post(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    deadline: float,
    answer_limit: int = ANSWER_LIMIT,
) -> Reply:
    """Send `request` within `deadline` seconds and return the answer, whatever its status, cut to `answer_limit` bytes.

    A compressed answer stays so, for nobody asked for it. Raises the `DeliveryError` that a missing answer means.
    """
    try:
        return await exchange(
            transport, request, deadline=deadline, body_limit=answer_limit, decoded=False
        )
    except ExchangeError as error:
        disposition = Disposition.NOT_SENT if error.not_sent else Disposition.TRANSIENT
        reason = DeliveryFailure(error.kind)
        raise DeliveryError(reason, str(error), disposition=disposition) from None


def require_success(reply: Reply, wall: Clock) -> Receipt:
    """Return the receipt where the status is 2xx; raises the `DeliveryError` that it means otherwise."""
    status = reply.status
    if 200 <= status < 300:
        return Receipt(status=status, response=kept(reply))
    wait = retry_after(reply.headers, wall())
    raise DeliveryError(
        _reason(status),
        _text(reply),
        disposition=_disposition(status, wait),
        status=status,
        retry_after=wait,
        response=kept(reply),
    )


def kept(reply: Reply) -> str:
    """Return the first KiB of what the receiver said, as text."""
    return _readable(reply)[:_KEPT].decode("utf-8", "replace")


def _readable(reply: Reply) -> bytes:
    compressed = reply.headers.get("content-encoding", "identity").lower() != "identity"
    return b"(a compressed answer)" if compressed else reply.body


def _reason(status: int) -> DeliveryFailure:
    if status == 429:
        return DeliveryFailure.RATE_LIMITED
    if status == 410:
        return DeliveryFailure.GONE
    if 300 <= status < 400:
        return DeliveryFailure.REDIRECT
    return DeliveryFailure.UNAVAILABLE if status >= 500 else DeliveryFailure.REJECTED


def _disposition(status: int, wait: float | None) -> Disposition:
    if status == 410:
        return Disposition.GONE
    if status in _OVERLOADED or (status >= 500 and wait is not None):
        return Disposition.OVERLOADED
    if status in _PERSISTENT:
        return Disposition.PERSISTENT
    if 400 <= status < 500 and status not in _TRANSIENT:
        return Disposition.REJECTED
    return Disposition.TRANSIENT


def _text(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: a redirect, which is never followed; configure the final URL"
    said = "".join(
        char if char.isprintable() else " "
        for char in _readable(reply)[:_SHOWN].decode("utf-8", "replace")
    )
    return f"HTTP {reply.status}: {' '.join(said.split())}".removesuffix(": ")
