"""What a receiver's answer means for a delivery: one table for every channel that speaks HTTP."""

import httpx

from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.net.exchange import ExchangeError, Reply, exchange, retry_after

ANSWER_LIMIT = 8192
"""Bytes read of a receiver's answer."""

_NOT_ABOUT_THE_BODY = frozenset({401, 403, 404, 408, 410, 425, 429})
_BUSY = frozenset({429, 502, 503, 504})
_PASSING = frozenset({408, 425, 429})
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
        raise DeliveryError(DeliveryFailure(error.kind), str(error), ours=error.ours) from None


def require_success(reply: Reply, wall: Clock) -> Receipt:
    """Return the receipt where the status is 2xx; raises the `DeliveryError` that it means otherwise."""
    status = reply.status
    if 200 <= status < 300:
        return Receipt(status=status, answer=kept(reply))
    wait = retry_after(reply.headers, wall())
    raise DeliveryError(
        _reason(status),
        _text(reply),
        status=status,
        retry_after=wait,
        body_refused=400 <= status < 500 and status not in _NOT_ABOUT_THE_BODY,
        busy=status in _BUSY or (status >= 500 and wait is not None),
        lasting=400 <= status < 500 and status not in _PASSING,
        answer=kept(reply),
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
    return DeliveryFailure.UNAVAILABLE if status >= 500 else DeliveryFailure.REFUSED


def _text(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: a redirect, which is never followed; configure the final URL"
    said = "".join(
        char if char.isprintable() else " "
        for char in _readable(reply)[:_SHOWN].decode("utf-8", "replace")
    )
    return f"HTTP {reply.status}: {' '.join(said.split())}".removesuffix(": ")
