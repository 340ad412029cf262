"""Requests to the fake Mixpeek API, their validation, and the errors that it answers with."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from watcher.core.tasks import KNOWN_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request. Names in `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body. Raises `ApiError` where it is not a JSON object."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            raise ApiError(400, "Invalid JSON", "BadRequestError") from None
        if not isinstance(content, dict):
            raise validation_error("Input should be a valid dictionary")
        return content


class ApiError(Exception):
    """An error response in the format of the API."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        details: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> None:
        super().__init__(message)
        self.status = status
        error: dict[str, object] = {"message": message, "type": kind}
        if details is not None:
            error["details"] = details
        self.content = {"success": False, "status": status, "error": error}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def validation_error(message: str, details: Mapping[str, Any] | None = None) -> ApiError:
    return ApiError(422, message, "ValidationError", details)


def check_fields(values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise `ApiError` where `values` has a field that is not `known`."""
    if extra := sorted(values.keys() - set(known)):
        message = "Extra inputs are not permitted"
        entries = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": message} for name in extra
        ]
        accepted = f"accepted are {', '.join(sorted(known))}"
        raise validation_error(f"{extra[0]}: {message}; {accepted}", {"validation_errors": entries})


def check_status(status: object) -> None:
    """Raise `ApiError` where `status` is not one of the API's, which are in upper case."""
    if not isinstance(status, str) or status not in KNOWN_STATUSES:
        message = f"status: {status!r} is not a status"
        entry = {"type": "enum", "loc": ["body", "status"], "msg": f"{status!r} is not a status"}
        raise validation_error(message, {"validation_errors": [entry]})


def integer(
    values: Mapping[str, Any], name: str, *, default: int, minimum: int, maximum: int
) -> int:
    """Return a number of a query or body. Raises `ApiError` where it is out of range."""
    try:
        value = int(values.get(name, default))
    except (TypeError, ValueError):
        value = minimum - 1
    if not minimum <= value <= maximum:
        raise validation_error(f"{name}: should be between {minimum} and {maximum}")
    return value


def require_namespace(request: Request) -> None:
    if not request.headers.get("x-namespace"):
        raise ApiError(400, "X-Namespace header is required", "BadRequestError")
