"""What a log line is about, as fields that an operator can search for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Fields = Mapping[str, str | int]

ABOUT = "about"
"""The attribute of a log record that has its fields."""

_NONE: Fields = MappingProxyType({})
_scope: ContextVar[Fields] = ContextVar("log_fields", default=_NONE)


def about(
    *,
    source: str | None = None,
    channel: str | None = None,
    task_id: str | None = None,
    delivery_id: int | None = None,
    event_id: str | None = None,
    peer: str | None = None,
    dropped: int | None = None,
) -> dict[str, Fields]:
    """Return the `extra` of a log call whose line is about these."""
    named = {
        "source": source,
        "channel": channel,
        "task_id": task_id,
        "delivery_id": delivery_id,
        "event_id": event_id,
        "peer": peer,
        "dropped": dropped,
    }
    return {ABOUT: {name: value for name, value in named.items() if value is not None}}


@contextmanager
def lines_about(**fields: str) -> Iterator[None]:
    """Give all lines that are logged within, and in tasks started within, these fields."""
    token = _scope.set({**_scope.get(), **fields})
    try:
        yield
    finally:
        _scope.reset(token)


def fields_in_scope() -> Fields:
    """Return the fields of lines that are logged here."""
    return _scope.get()
