"""Every error the watcher raises on purpose, each with the decision that its catcher needs.

    WatcherError
    ├── ConfigurationError    invalid settings: exit 2, one line each
    ├── StoreError            an operation failed (disk full, locked) and changed nothing: retry
    │   ├── StoreUnusableError  the store cannot be opened (newer schema, locked): exit 2
    │   └── StoreCorruptError   the file is damaged: stop, and leave it as it is
    ├── DaemonError           a command could not reach the daemon, or it answered an error: exit 4
    ├── SourceError           one request failed: `reason`, and upstream's `Retry-After`
    └── DeliveryError         one attempt failed: `reason`, `disposition`, and `Retry-After`

Errors of other libraries are translated once, where they arise.
"""

from enum import StrEnum


class WatcherError(Exception):
    """The root. Its text is one line for people and contains no secret."""


class ConfigurationError(WatcherError):
    """The configuration is invalid. `problems` has one line for each error."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class StoreError(WatcherError):
    """A store operation failed and changed nothing; the same operation may succeed later."""


class StoreUnusableError(StoreError):
    """The store cannot be opened by this process; an operator has to act."""


class StoreCorruptError(StoreError):
    """The store's file is damaged; further writes would risk what it still holds."""


class DaemonError(WatcherError):
    """The daemon is not reachable, or it answered an error. `status` is the HTTP status, or
    None.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class SourceFailure(StrEnum):
    """Why a fetch failed: a closed list, for it decides what follows and is shown in metrics and
    events.
    """

    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # not the API's JSON: HTML, cut off, null, too large
    REDIRECT = "redirect"  # never followed, since the key would go along
    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404 that the API itself did not write, or for most watches at once
    REJECTED = "refused"  # any other 4xx: sending the same request again does not help
    RATE_LIMITED = "rate_limited"  # 429
    UNAVAILABLE = "unavailable"  # 5xx


class SourceError(WatcherError):
    """One fetch failed as a whole; nothing was learnt about any of its tasks.

    `retry_after` is in seconds, as upstream requested, and applies to the whole source; None
    without a request.
    """

    def __init__(
        self, reason: SourceFailure, text: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after = retry_after


class DeliveryFailure(StrEnum):
    """Why a delivery attempt failed."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    RATE_LIMITED = "rate_limited"  # 429
    GONE = "gone"  # 410, and what else a receiver says that means never again
    REJECTED = "refused"  # any other 4xx, and 1xx
    UNAVAILABLE = "unavailable"  # 5xx


class Disposition(StrEnum):
    """What the dispatcher does after a failed attempt."""

    TRANSIENT = "transient"
    """Retry on the schedule."""
    OVERLOADED = "overloaded"
    """Retry on the schedule, and slow the whole channel down (429, 502 to 504, `Retry-After`)."""
    PERSISTENT = "persistent"
    """Retry on the slow half of the schedule: time alone does not fix it (401, 403, 404)."""
    REJECTED = "rejected"
    """Like PERSISTENT, for this payload alone: later events of the task need not wait for it."""
    GONE = "gone"
    """Stop the channel until an operator resumes it (410)."""
    NOT_SENT = "not sent"
    """Retry soon at no cost: nothing has left this machine."""


class DeliveryError(WatcherError):
    """One attempt failed.

    `retry_after` is in seconds, as the receiver requested. `response` is the beginning of the
    response body. `status` is the HTTP status; None without a response.
    """

    def __init__(
        self,
        reason: DeliveryFailure,
        text: str,
        *,
        disposition: Disposition = Disposition.TRANSIENT,
        status: int | None = None,
        retry_after: float | None = None,
        response: str | None = None,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.disposition = disposition
        self.status = status
        self.retry_after = retry_after
        self.response = response
