"""Events as bytes: serialised once, stored, and the same on every attempt to every channel.

The shape of a body is the Standard Webhooks payload, `{"type", "timestamp", "data"}`. What upstream sent as `inputs`,
`outputs`, `additional_data` and in fields nobody has heard of is spliced in byte for byte.
"""

import base64
import os
from collections.abc import Callable, Mapping

import msgspec

from watcher.core.clock import rfc3339
from watcher.core.models import TERMINAL_STATUSES, Event, Observation, TaskKey, Watch, event_type

_NULL = msgspec.Raw(b"null")
_FOLDED = frozenset({"error", "namespace_id"})  # told as error_message and namespace
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Placed(msgspec.Struct):
    namespace_id: object = None


_decode_placed = msgspec.json.Decoder(_Placed).decode


def new_event_id(random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new `webhook-id`: `msg_` and 144 random bits."""
    return "msg_" + base64.urlsafe_b64encode(random_bytes(18)).decode()


def task_order_key(key: TaskKey) -> str:
    """Return the line in which a task's deliveries wait for one another."""
    return f"task {key.source} {key.task_id}"


def namespace_of(watch: Watch, seen: Observation) -> str | None:
    """Return the namespace that is told: the watch's, else the one that upstream names."""
    if watch.namespace is not None:
        return watch.namespace
    return _namespace_in(_decode_fields(seen.detail().raw).get("additional_data", _NULL))


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
    """Return the event of a transition: `watch` is as it was before, `seen` what upstream says now."""
    detail = seen.detail()
    fields = _decode_fields(detail.raw)
    told: dict[str, object] = {
        "task_id": watch.key.task_id,
        "task_type": seen.task_type,
        "source": watch.key.source,
        "namespace": namespace,
        "previous_status": watch.status,
        "status": seen.status,
        "terminal": seen.status in TERMINAL_STATUSES,
        "sequence": sequence,
        "error_message": detail.error_message,
        "inputs": fields.get("inputs", _NULL),
        "outputs": fields.get("outputs", _NULL),
        "additional_data": fields.get("additional_data", _NULL),
        "labels": watch.labels,
    }
    told |= {name: raw for name, raw in fields.items() if name not in told and name not in _FOLDED}
    return _event(event_type(seen.status), watch, seen.status, sequence, at, event_id, channels, told)


def trouble_event(
    watch: Watch, kind: str, *, reason: str, at: float, event_id: str, channels: tuple[str, ...]
) -> Event:
    """Return the event of a task that is lost (`task.lost`) or stalled (`task.stalled`); its sequence stays."""
    told: dict[str, object] = {
        "task_id": watch.key.task_id,
        "task_type": watch.task_type,
        "source": watch.key.source,
        "namespace": watch.namespace,
        "previous_status": watch.status,
        "status": watch.status,
        "terminal": False,
        "sequence": watch.sequence,
        "error_message": watch.error_message,
        "inputs": None,
        "outputs": None,
        "additional_data": None,
        "labels": watch.labels,
        "reason": reason,
    }
    return _event(kind, watch, watch.status, watch.sequence, at, event_id, channels, told)


def notice_event(
    kind: str, *, at: float, event_id: str, data: Mapping[str, object], order_key: str, channels: tuple[str, ...]
) -> Event:
    """Return an event that is about no task, but about a source or a channel."""
    return Event(
        event_id=event_id, type=kind, at=at, body=_body(kind, at, data), order_key=order_key, channels=channels
    )


def _event(
    kind: str,
    watch: Watch,
    status: str | None,
    sequence: int,
    at: float,
    event_id: str,
    channels: tuple[str, ...],
    told: Mapping[str, object],
) -> Event:
    return Event(
        event_id=event_id,
        type=kind,
        at=at,
        body=_body(kind, at, told),
        order_key=task_order_key(watch.key),
        channels=channels,
        key=watch.key,
        sequence=sequence,
        previous_status=watch.status,
        status=status,
        watched_for=max(at - watch.added_at, 0.0),
    )


def _body(kind: str, at: float, told: Mapping[str, object]) -> bytes:
    return _encode({"type": kind, "timestamp": rfc3339(at), "data": told})


def _namespace_in(additional_data: msgspec.Raw) -> str | None:
    try:
        namespace = _decode_placed(additional_data).namespace_id
    except msgspec.MsgspecError:
        return None
    return namespace if isinstance(namespace, str) else None
