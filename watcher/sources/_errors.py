"""What a reply that is not the expected answer means."""

import msgspec

from watcher.core.errors import ErrorReply, SourceError, SourceFailure
from watcher.net.exchange import Reply
from watcher.net.rate_limit_headers import rate_limits
from watcher.sources._error_reply import read_error

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding malformed JSON raises."""

_REASONS = {
    401: SourceFailure.UNAUTHORIZED,
    403: SourceFailure.FORBIDDEN,
    404: SourceFailure.NOT_FOUND,
    429: SourceFailure.RATE_LIMITED,
}


def reply_error(reply: Reply, retry_after: float | None) -> SourceError:
    """Return the error of a reply; its text is the API's own where the body has one."""
    text, said = read_error(reply)
    return SourceError(_reason(reply), text, retry_after=retry_after, reply=said)


def protocol_error(text: str, reply: Reply | None = None) -> SourceError:
    """Return the error of a reply that is not the API's, whatever its status says."""
    said = None if reply is None else ErrorReply(status=reply.status)
    return SourceError(SourceFailure.PROTOCOL, text, reply=said)


def error_text(value: object) -> str | None:
    """Return an error as text, whether the API sends a string or an object with a `message`."""
    if isinstance(value, dict):
        value = value.get("message") or msgspec.json.encode(value).decode()
    return value if isinstance(value, str) and value else None


def is_spent(reply: Reply) -> bool:
    """Return whether a 403 says that the request budget is spent, as GitHub does it."""
    limits = rate_limits(reply.headers, 0.0) if reply.status == 403 else ()
    return any(limit.remaining == 0 for limit in limits)


def _reason(reply: Reply) -> SourceFailure:
    status = reply.status
    if is_spent(reply):
        return SourceFailure.RATE_LIMITED
    if status in _REASONS:
        return _REASONS[status]
    if status >= 500:
        return SourceFailure.UNAVAILABLE
    if status >= 400:
        return SourceFailure.REJECTED
    return SourceFailure.REDIRECT if status >= 300 else SourceFailure.PROTOCOL
