"""Events as bytes: serialised once, stored, and the same on every attempt to every channel.

The body is the Standard Webhooks payload, `{"type", "timestamp", "data"}`. Upstream's `inputs`,
`outputs`, `additional_data` and unknown fields are copied byte for byte, but for values that JSON
cannot represent.
"""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict

from watcher.core.clock import rfc3339
from watcher.core.event_bodies import EventBody, SystemData, TaskData
from watcher.core.masking import SECRETS
from watcher.core.tasks import TERMINAL_STATUSES, Observation, TaskKey, Watch
from watcher.core.texts import NAME_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to send: its bytes are the same on every attempt to every channel.

    `key`, `sequence`, `previous_status` and `status` are None for an event about a source or a
    channel. Deliveries with the same `order_key` (a task, a source, a channel) are sent in order.
    `watched_for` is the seconds between the watch's addition and `at`. `channels` are the routed
    ones.
    """

    event_id: str
    type: str
    at: float
    body: bytes
    order_key: str
    channels: tuple[str, ...]
    key: TaskKey | None = None
    sequence: int | None = None
    previous_status: str | None = None
    status: str | None = None
    watched_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of one watch, stored whole or not at all: the watch after it, and its event.

    It applies only if the stored watch is still at `expected_sequence`. `event` is None for a step
    without one, such as the first 404 for a task. `unchanged_for` is the seconds for which the
    previous status was seen, where there is one.
    """

    watch: Watch
    expected_sequence: int
    event: Event | None = None
    unchanged_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event with the store's increasing number."""

    id: int
    event_id: str
    type: str
    at: float
    body: bytes
    sequence: int | None
    previous_status: str | None
    status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Events in [since, until], of these statuses and tasks if any are set.

    Times are Unix seconds; `until` None means now.
    """

    since: float
    until: float | None = None
    statuses: tuple[str, ...] = ()
    task_ids: tuple[str, ...] = ()


TASK_ALERTS = ("task.lost", "task.stalled")
"""The types of events about a task that are no transitions."""
SYSTEM_EVENTS = (
    *("source.unreachable", "source.recovered"),
    *("channel.failing", "channel.recovered", "channel.stopped"),
)
"""The types of events about a source or a channel."""


class SystemEventFactory(Protocol):
    """Builds events about a source or a channel."""

    def __call__(self, kind: str, *, at: float, data: SystemData, subject: str) -> Event:
        """Return the event of type `kind` about `subject` (`channel backend`).

        A channel does not receive events about itself.
        """
        ...


def system_event_factory(
    route: Callable[[str, str], tuple[str, ...]], random_bytes: Callable[[int], bytes] = os.urandom
) -> SystemEventFactory:
    """Return a factory whose events go to the channels that `route(type, subject)` returns."""

    def build(kind: str, *, at: float, data: SystemData, subject: str) -> Event:
        return system_event(
            kind,
            at=at,
            event_id=new_event_id(random_bytes),
            data=data,
            order_key=subject,
            channels=route(kind, subject),
        )

    return build


def event_type(status: str) -> str:
    """Return the event type of a status: `task.failed` for `FAILED`."""
    return "task." + re.sub(r"[^a-z0-9_]", "_", status.lower())


_NULL = msgspec.Raw(b"null")
_NOT_COPIED = frozenset(
    {
        *("error", "namespace_id"),  # sent as error_message and namespace
        # The watcher's own words.
        *("unreadable", "truncated", "observed_from", "reason", "since", "pending"),
        *("active_watches", "channel"),
    }
)
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Placed(msgspec.Struct):
    namespace_id: object = None
    batch_id: object = None


_decode_placed = msgspec.json.Decoder(_Placed).decode


def new_event_id(random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new `webhook-id`: `msg_` and 144 random bits."""
    return "msg_" + base64.urlsafe_b64encode(random_bytes(18)).decode()


def bounded_name(name: str | None) -> str | None:
    """Return a word of upstream, such as a task type, as it is stored and sent: masked and cut."""
    return None if name is None else SECRETS.cut(name, NAME_LIMIT)


def task_order_key(key: TaskKey) -> str:
    """Return the order key of a task's events."""
    return f"task {key.source} {key.task_id}"


def namespace_of(watch: Watch, seen: Observation) -> str | None:
    """Return the namespace of a task's events: the watch's, else upstream's."""
    if watch.namespace is not None:
        return watch.namespace
    return _name_in(seen, "namespace_id")


def batch_of(watch: Watch, seen: Observation) -> str | None:
    """Return the batch of a task: the one that upstream shows, else the watch's."""
    return _name_in(seen, "batch_id") or watch.batch


def task_event(
    watch: Watch,
    seen: Observation,
    *,
    namespace: str | None,
    sequence: int,
    at: float,
    event_id: str,
    channels: tuple[str, ...],
) -> Event:
    """Return the event of a transition from `watch` to `seen`, upstream's answer now."""
    detail = seen.detail()
    fields = _decode_fields(detail.raw)
    known = TaskData(
        task_id=watch.key.task_id,
        task_type=bounded_name(seen.task_type),
        source=watch.key.source,
        namespace=namespace,
        previous_status=watch.status,
        status=seen.status,
        upstream_status=detail.upstream_status,
        terminal=seen.status in TERMINAL_STATUSES,
        sequence=sequence,
        error_message=detail.error_message,
        inputs=fields.get("inputs", _NULL),
        outputs=fields.get("outputs", _NULL),
        additional_data=fields.get("additional_data", _NULL),
        labels=watch.labels,
        unreadable=detail.unreadable or UNSET,
        observed_from=UNSET if detail.observed_from is None else detail.observed_from,
    )
    data = _sent(known)
    data |= {
        name: raw for name, raw in fields.items() if name not in data and name not in _NOT_COPIED
    }
    return _event(
        event_type(seen.status), watch, seen.status, sequence, at, event_id, channels, data
    )


def task_alert_event(
    watch: Watch, kind: str, *, reason: str, at: float, event_id: str, channels: tuple[str, ...]
) -> Event:
    """Return `task.lost` or `task.stalled`, which do not advance the sequence."""
    data = TaskData(
        task_id=watch.key.task_id,
        task_type=watch.task_type,
        source=watch.key.source,
        namespace=watch.namespace,
        previous_status=watch.status,
        status=watch.status,
        upstream_status=None,
        terminal=False,
        sequence=watch.sequence,
        error_message=watch.error_message,
        inputs=None,
        outputs=None,
        additional_data=None,
        labels=watch.labels,
        reason=reason,
    )
    return _event(kind, watch, watch.status, watch.sequence, at, event_id, channels, _sent(data))


def system_event(
    kind: str,
    *,
    at: float,
    event_id: str,
    data: SystemData,
    order_key: str,
    channels: tuple[str, ...],
) -> Event:
    """Return an event about a source or a channel."""
    return Event(
        event_id=event_id,
        type=kind,
        at=at,
        body=_body(kind, at, data),
        order_key=order_key,
        channels=channels,
    )


def _event(
    kind: str,
    watch: Watch,
    status: str | None,
    sequence: int,
    at: float,
    event_id: str,
    channels: tuple[str, ...],
    data: Mapping[str, object],
) -> Event:
    return Event(
        event_id=event_id,
        type=kind,
        at=at,
        body=_body(kind, at, data),
        order_key=task_order_key(watch.key),
        channels=channels,
        key=watch.key,
        sequence=sequence,
        previous_status=watch.status,
        status=status,
        watched_for=max(at - watch.added_at, 0.0),
    )


def _sent(data: TaskData) -> dict[str, object]:
    """Return the fields that are set."""
    return {name: value for name, value in asdict(data).items() if value is not UNSET}


def _body(kind: str, at: float, data: Mapping[str, object] | SystemData) -> bytes:
    return _encode(EventBody(type=kind, timestamp=rfc3339(at), data=data))


def _name_in(seen: Observation, field: str) -> str | None:
    """Return a name in the observation's `additional_data`, None if it is not a text."""
    additional_data = _decode_fields(seen.detail().raw).get("additional_data", _NULL)
    try:
        name = getattr(_decode_placed(additional_data), field)
    except msgspec.MsgspecError:
        return None
    return bounded_name(name) if isinstance(name, str) else None
