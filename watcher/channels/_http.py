"""What an HTTP response means for a delivery: the same for every channel that uses HTTP."""

import httpx

from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.masking import SECRETS
from watcher.core.texts import RESPONSE_KEPT, spaced
from watcher.net.delays import retry_after
from watcher.net.exchange import ExchangeError, Reply, exchange

RESPONSE_LIMIT = 8192
"""Maximum number of bytes read of a receiver's response."""
REST_WITHIN = 0.8
"""Seconds for what follows a status line, where the status says it all."""

_OVERLOADED = frozenset({429, 502, 503, 504})
_PERSISTENT = frozenset({401, 403, 404})
_TRANSIENT = frozenset({408, 425})
_TOO_LARGE = frozenset({413, 431})
_READ = 8192
_IN_ERROR_TEXT = 200


async def post(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    deadline: float,
    response_limit: int = RESPONSE_LIMIT,
    *,
    rest_within: float | None = None,
) -> Reply:
    """Send `request` within `deadline` seconds and return the response, whatever its status.

    The body is cut to `response_limit` bytes and never decompressed, since no request accepts
    compression. Raises `DeliveryError` if no complete response arrives; see `exchange` for
    `rest_within`.
    """
    try:
        return await exchange(
            transport,
            request,
            deadline=deadline,
            body_limit=response_limit,
            decoded=False,
            rest_within=rest_within,
        )
    except ExchangeError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None  # unexpected: reported with its traceback
        disposition = Disposition.NOT_SENT if error.not_sent else Disposition.TRANSIENT
        reason = DeliveryFailure(error.kind)
        raise DeliveryError(reason, str(error), disposition=disposition) from None


def require_success(reply: Reply, wall: Clock) -> Receipt:
    """Return the receipt for a 2xx response; raise `DeliveryError` for any other."""
    status = reply.status
    if 200 <= status < 300:
        return Receipt(status=status, response=body_excerpt(reply))
    wait = retry_after(reply.headers, wall())
    raise DeliveryError(
        _reason(status),
        _text(reply),
        disposition=_disposition(status, wait),
        status=status,
        retry_after=wait,
        response=body_excerpt(reply),
    )


def body_excerpt(reply: Reply) -> str:
    """Return the first 1,024 characters of the response body, for the delivery log."""
    return SECRETS.text(_readable(reply), RESPONSE_KEPT)


def _readable(reply: Reply) -> str:
    compressed = reply.headers.get("content-encoding", "identity").lower() != "identity"
    return "(compressed)" if compressed else reply.body[:_READ].decode("utf-8", "replace")


def _reason(status: int) -> DeliveryFailure:
    if status == 429:
        return DeliveryFailure.RATE_LIMITED
    if status == 410:
        return DeliveryFailure.GONE
    if status in _TOO_LARGE:
        return DeliveryFailure.TOO_LARGE
    if 300 <= status < 400:
        return DeliveryFailure.REDIRECT
    return DeliveryFailure.UNAVAILABLE if status >= 500 else DeliveryFailure.REJECTED


def _disposition(status: int, wait: float | None) -> Disposition:
    if status == 410:
        return Disposition.GONE
    if status in _OVERLOADED or (status >= 500 and wait is not None):
        return Disposition.OVERLOADED
    if status in _TOO_LARGE:
        return Disposition.TOO_LARGE
    if status in _PERSISTENT:
        return Disposition.PERSISTENT
    if 400 <= status < 500 and status not in _TRANSIENT:
        return Disposition.REJECTED
    return Disposition.TRANSIENT


def _text(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: redirects are not followed; configure the final URL"
    excerpt = spaced(SECRETS.text(_readable(reply), _IN_ERROR_TEXT))
    return f"HTTP {reply.status}: {' '.join(excerpt.split())}".removesuffix(": ")
