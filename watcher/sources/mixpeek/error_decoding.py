"""Which service wrote an error: the API, the framework below it, or another one."""

from collections.abc import Mapping

import msgspec

from watcher.sources._errors import UNREADABLE


class _Failure(msgspec.Struct):
    success: object = None
    error: object = None
    detail: object = None


_decode_failure = msgspec.json.Decoder(_Failure).decode


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
