"""Every error the watcher raises on purpose, each with the decision that its catcher needs.

    WatcherError
    ├── ConfigurationError    invalid settings: exit 2, one line each
    ├── StoreError            an operation failed (disk full, locked) and changed nothing: retry
    │   ├── StoreFullError      it is as large as its limit, or the disk is full
    │   ├── StoreMovedError     its file was removed or replaced: until it is back, or a restart
    │   ├── NotOwnerError       another replica serves this now: drop it
    │   ├── StoreUnusableError  the store cannot be opened (newer schema, locked): exit 2
    │   └── StoreCorruptError   the file is damaged: stop, and leave it as it is
    ├── DaemonError           a command got no response, or an error, from the daemon: exit 4
    ├── SourceError           one request failed: `reason`, and what upstream's reply says
    │   └── IncompleteAnswerError  only what it shows can be believed, not what it does not show
    └── DeliveryError         one attempt failed: `reason`, `disposition`, and `Retry-After`

Errors of other libraries are translated once, where they arise.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from watcher.core import labels
from watcher.core.masking import SECRETS
from watcher.core.texts import ERROR_MESSAGE_LIMIT, RESPONSE_KEPT


class WatcherError(Exception):
    """The root. Its text is one readable line of bounded length, in which secrets are masked."""

    def __init__(self, text: str) -> None:
        super().__init__(SECRETS.cut(text, ERROR_MESSAGE_LIMIT))


class ConfigurationError(WatcherError):
    """The configuration is invalid. `problems` has one line for each error; `files` are those that
    a correction may change, beside the configuration itself.
    """

    def __init__(self, problems: list[str], files: frozenset[Path] = frozenset()) -> None:
        super().__init__("; ".join(problems))
        self.problems = [SECRETS.text(problem) for problem in problems]
        self.files = files


class StoreFailure(StrEnum):
    """Why nothing can be stored. A closed list, which metrics show."""

    DISK_FULL = "disk_full"
    MAX_SIZE = "max_size"  # the store is as large as `store.max_size` allows
    MOVED = "moved"  # a file of the store was removed or replaced
    NO_RESPONSE = "no_response"
    ERROR = "error"  # any other


class StoreError(WatcherError):
    """A store operation failed and changed nothing; the same operation may succeed later."""

    failure = StoreFailure.ERROR


class StoreFullError(StoreError):
    """The store has reached its limit, or its disk is full: the operation may fit later."""

    def __init__(self, text: str, failure: StoreFailure = StoreFailure.DISK_FULL) -> None:
        super().__init__(text)
        self.failure = failure


class StoreMovedError(StoreError):
    """A file of the open store was removed or replaced: what is written now would be lost. The
    daemon logs it once, so that each component that fails of it need not.
    """

    failure = StoreFailure.MOVED


class NotOwnerError(StoreError):
    """What was to be written belongs to a slice that this replica does not own, or not any more:
    drop it, since the owner observes or attempts it again.
    """

    def __init__(self, group: str) -> None:
        super().__init__(f"{group} is served by another replica: nothing was stored")
        self.group = group


class StoreUnusableError(StoreError):
    """The store cannot be opened by this process; an operator has to act."""


class StoreCorruptError(StoreError):
    """The store's file is damaged; further writes could destroy what is still readable."""


class TooManyLabelsError(WatcherError):
    """A watch would have more labels than one may have; nothing was stored."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"a watch has at most {labels.MOST} labels, with those that it had before")
        self.task_id = task_id


class DaemonError(WatcherError):
    """The daemon is unreachable or responded with an error. `status` is None without a response."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class SourceFailure(StrEnum):
    """Why a fetch failed. A closed list: polling decides by it, metrics and events show it."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # not the API's JSON: HTML, cut off, null, too large
    REDIRECT = "redirect"  # never followed: the API key would leak
    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404 not from the API itself, or for most watches at once
    REJECTED = "refused"  # any other 4xx: repeating the request does not help
    RATE_LIMITED = "rate_limited"  # 429
    UNAVAILABLE = "unavailable"  # 5xx


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """What upstream's reply says of an error: printable, bounded in size, with secrets masked.

    `status` is the HTTP status, `kind` the `type` that upstream gives the error; `details` is JSON.
    """

    status: int
    code: str | None = None
    kind: str | None = None
    request_id: str | None = None
    details: object = None


class SourceError(WatcherError):
    """One fetch failed as a whole; the state of its tasks remains unknown.

    `retry_after` is upstream's `Retry-After` in seconds and applies to the whole source. `reply` is
    None, and so is `status`, where there was no reply.
    """

    def __init__(
        self,
        reason: SourceFailure,
        text: str,
        *,
        retry_after: float | None = None,
        reply: ErrorReply | None = None,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after = retry_after
        self.reply = reply
        self.status = None if reply is None else reply.status


class IncompleteAnswerError(SourceError):
    """Only what the answer shows can be believed; nothing follows from what it does not show.

    `unknown` are task IDs that it had to show and that upstream does not know any more.
    """

    def __init__(self, text: str, *, unknown: frozenset[str] = frozenset()) -> None:
        super().__init__(SourceFailure.PROTOCOL, text)
        self.unknown = unknown


class DeliveryFailure(StrEnum):
    """Why a delivery attempt failed."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    RATE_LIMITED = "rate_limited"  # 429
    GONE = "gone"  # 410, or a service's own error of the same meaning
    REJECTED = "refused"  # any other 4xx, and 1xx
    TOO_LARGE = "too_large"  # 413, 431
    UNAVAILABLE = "unavailable"  # 5xx


class Disposition(StrEnum):
    """What happens after a failed attempt."""

    TRANSIENT = "transient"
    """Retry on the schedule."""
    OVERLOADED = "overloaded"
    """Retry on the schedule, and slow down the whole channel (429, 502 to 504, `Retry-After`)."""
    PERSISTENT = "persistent"
    """Retry on the slow half of the schedule: time alone does not fix it (401, 403, 404)."""
    REJECTED = "rejected"
    """Like PERSISTENT, for this payload alone: later events of the task need not wait for it."""
    TOO_LARGE = "too large"
    """Fail permanently: the receiver rejects even the smallest form of the event (413)."""
    GONE = "gone"
    """Stop the channel until an operator resumes it (410)."""
    NOT_SENT = "not sent"
    """Retry soon at no cost: nothing left this machine."""


class DeliveryError(WatcherError):
    """One attempt failed.

    `retry_after` is the receiver's `Retry-After` in seconds. `response` is the beginning of the
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
        self.response = None if response is None else SECRETS.text(response, RESPONSE_KEPT)
