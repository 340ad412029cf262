"""Every error the watcher raises on purpose, each carrying the decision that its catcher has to make.

    WatcherError
    ├── ConfigurationError    the settings cannot be used: exit 2, one line each
    ├── StoreError            the store cannot do it now (disk full, locked): nothing was changed, try again
    │   ├── StoreUnusableError  the store cannot be opened at all (newer schema, corrupt, held by a daemon): exit 2
    │   └── StoreCorruptError   the file is damaged: stop, what is stored is left as it is
    ├── DaemonError           a command found no daemon, or it refused: exit 4
    ├── SourceError           one fetch failed: `reason`, and how long upstream asked us to wait
    └── DeliveryError         one attempt failed: `reason`, whether its body is at fault, and how long to wait

Errors of other libraries are translated where they arise, once.
"""

from enum import StrEnum


class WatcherError(Exception):
    """The root: a text meant for people, in one line, that holds no secret."""


class ConfigurationError(WatcherError):
    """The configuration cannot be used. `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class StoreError(WatcherError):
    """The store refused an operation and changed nothing; the same operation may work later."""


class StoreUnusableError(StoreError):
    """The store cannot be opened by this process; a person has to act."""


class StoreCorruptError(StoreError):
    """The store's file is damaged; going on would risk what it still holds."""


class DaemonError(WatcherError):
    """There is no daemon, or it refused. `status` is its HTTP status, None where none answered."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class SourceFailure(StrEnum):
    """Why a fetch failed: a closed list, for it decides what follows and is shown in metrics and events."""

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

    `retry_after` is in seconds, as upstream asked, and counts for the whole source; None where it did not ask.
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
    REFUSED = "refused"  # any other 4xx, and 1xx
    UNAVAILABLE = "unavailable"  # 5xx


class DeliveryError(WatcherError):
    """One attempt failed.

    `body_refused` says that the receiver refused this very body (a 4xx other than 401, 403, 404, 408, 410, 425 and
    429), so later events of the same task need not wait for it. A `reason` of `gone` stops the channel until somebody
    resumes it. `ours` says that nothing left this machine, which costs the receiver no attempt. `busy` says that the
    receiver cannot keep up, so everything that goes there slows down. `lasting` says that a little while changes
    nothing, so the attempts go on along the slow end of the schedule. `retry_after` is in seconds, as the receiver
    asked. `answer` is the beginning of what it said. `status` is its HTTP status, None where there was no answer.
    """

    def __init__(
        self,
        reason: DeliveryFailure,
        text: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        body_refused: bool = False,
        ours: bool = False,
        busy: bool = False,
        lasting: bool = False,
        answer: str | None = None,
    ) -> None:
        super().__init__(text)
        self.ours = ours
        self.busy = busy
        self.lasting = lasting
        self.answer = answer
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.body_refused = body_refused
