"""What a reply that is not the expected answer means."""

from collections.abc import Mapping

import msgspec

from watcher.core.errors import ErrorReply, SourceError, SourceFailure
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.error_reply import read_error

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding malformed JSON raises."""

_REASONS = {
    401: SourceFailure.UNAUTHORIZED,
    403: SourceFailure.FORBIDDEN,
    404: SourceFailure.NOT_FOUND,
    429: SourceFailure.RATE_LIMITED,
}


class _Failure(msgspec.Struct):
    success: object = None
    error: object = None
    detail: object = None


_decode_failure = msgspec.json.Decoder(_Failure).decode


def reply_error(reply: Reply, retry_after: float | None) -> SourceError:
    """Return the error of a reply; its text is the API's own where the body has one."""
    text, said = read_error(reply)
    return SourceError(_reason(reply.status), text, retry_after=retry_after, reply=said)


def protocol_error(text: str, reply: Reply | None = None) -> SourceError:
    """Return the error of a reply that is not the API's, whatever its status says."""
    said = None if reply is None else ErrorReply(status=reply.status)
    return SourceError(SourceFailure.PROTOCOL, text, reply=said)


def is_api_error(body: bytes) -> bool:
    """Return whether a 404 is the API's own and not that of a gateway or of another service."""
    try:
        failure = _decode_failure(body)
    except UNREADABLE:
        return False
    return failure.success is False or isinstance(failure.error, Mapping)


def is_framework_error(body: bytes) -> bool:
    """Return whether an error has the form of FastAPI, in which the API is written.

    It answers so where it knows no such route or method, and where it validates a request itself.
    """
    try:
        return isinstance(_decode_failure(body).detail, str | list)
    except UNREADABLE:
        return False


def error_text(value: object) -> str | None:
    """Return an error as text, whether the API sends a string or an object with a `message`."""
    if isinstance(value, dict):
        value = value.get("message") or msgspec.json.encode(value).decode()
    return value if isinstance(value, str) and value else None


def _reason(status: int) -> SourceFailure:
    if status in _REASONS:
        return _REASONS[status]
    if status >= 500:
        return SourceFailure.UNAVAILABLE
    if status >= 400:
        return SourceFailure.REJECTED
    return SourceFailure.REDIRECT if status >= 300 else SourceFailure.PROTOCOL
