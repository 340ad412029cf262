"""Reads from an event what a message for people shows, and nothing else.

An event may hold a megabyte of `inputs` and `outputs`, and a digest covers a thousand events. So
only the fields below become objects; of a list only the first items, of a text only the beginning.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from watcher.core.clock import parse_rfc3339

_ABSENT = msgspec.Raw(b"")
_MAX_TEXT = 10_000
_YEAR_3000 = 32_503_680_000
_MAX_LABELS = 50
_MAX_OUTPUTS = 20
_MAX_ITEMS = 50
_LISTS_OF_ITEMS = ("failed_items", "errors", "failures", "items")
_NOT_SCALARS = ("outputs", "additional_data", "labels")


class _Event(msgspec.Struct):
    data: msgspec.Raw = _ABSENT


class _Stamped(msgspec.Struct):
    timestamp: str = ""


class _Data(msgspec.Struct):
    task_id: msgspec.Raw = _ABSENT
    task_type: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT
    channel: msgspec.Raw = _ABSENT
    namespace: msgspec.Raw = _ABSENT
    previous_status: msgspec.Raw = _ABSENT
    status: msgspec.Raw = _ABSENT
    sequence: msgspec.Raw = _ABSENT
    error_message: msgspec.Raw = _ABSENT
    reason: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    since: msgspec.Raw = _ABSENT
    pending: msgspec.Raw = _ABSENT
    active_watches: msgspec.Raw = _ABSENT
    labels: msgspec.Raw = _ABSENT
    outputs: msgspec.Raw = _ABSENT
    additional_data: msgspec.Raw = _ABSENT


class _AdditionalData(msgspec.Struct):
    batch_id: msgspec.Raw = _ABSENT
    bucket_id: msgspec.Raw = _ABSENT


class _Item(msgspec.Struct):
    object_id: msgspec.Raw = _ABSENT
    item_id: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    document_id: msgspec.Raw = _ABSENT
    error_message: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    reason: msgspec.Raw = _ABSENT


class _Output(_Item):
    failed_count: msgspec.Raw = _ABSENT
    processed_count: msgspec.Raw = _ABSENT
    success_rate: msgspec.Raw = _ABSENT
    failed_items: msgspec.Raw = _ABSENT
    errors: msgspec.Raw = _ABSENT
    failures: msgspec.Raw = _ABSENT
    items: msgspec.Raw = _ABSENT


class _Error(msgspec.Struct):
    message: msgspec.Raw = _ABSENT


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_stamped = msgspec.json.Decoder(_Stamped).decode
_decode_data = msgspec.json.Decoder(_Data).decode
_decode_additional_data = msgspec.json.Decoder(_AdditionalData).decode
_decode_output = msgspec.json.Decoder(_Output).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_scalar = msgspec.json.Decoder().decode


def fields_of(body: bytes) -> Mapping[str, Any]:
    """Return the fields of an event's `data` that a message may show.

    Absent fields are absent. Empty if the body is not an event.
    """
    try:
        data = _decode_data(_decode_event(body).data)
        shown = _scalars(data, leave_out=_NOT_SCALARS)
        shown |= _labels(data.labels) | _batch(data.additional_data)
        if shown.get("status") == "COMPLETED_WITH_ERRORS":
            shown["outputs"] = _outputs(data.outputs)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return {}
    return shown


def observed_at(body: bytes) -> float | None:
    """Return when the event of `body` was observed, in Unix seconds; None for anything else."""
    try:
        at = parse_rfc3339(_decode_stamped(body).timestamp)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError):
        return None
    return at if 0 <= at < _YEAR_3000 else None


def _scalars(record: msgspec.Struct, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields that are present; lists and objects as None."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    return {
        name: _scalar(raw) for name, raw in values.items() if len(raw) and name not in leave_out
    }


def _scalar(raw: msgspec.Raw) -> Any:
    if _begins(raw, b"{["):
        return None
    value = _decode_scalar(raw)
    return value[:_MAX_TEXT] if isinstance(value, str) else value


def _begins(raw: msgspec.Raw, brackets: bytes) -> bool:
    return bytes(memoryview(raw)[:64]).lstrip()[:1] in [
        brackets[i : i + 1] for i in range(len(brackets))
    ]


def _labels(raw: msgspec.Raw) -> dict[str, Any]:
    if not _begins(raw, b"{"):
        return {}
    labels = list(_decode_object(raw).items())[:_MAX_LABELS]
    return {"labels": {name: _scalar(value) for name, value in labels}}


def _batch(raw: msgspec.Raw) -> dict[str, Any]:
    if not _begins(raw, b"{"):
        return {}
    return {"additional_data": _scalars(_decode_additional_data(raw))}


def _outputs(raw: msgspec.Raw) -> list[dict[str, Any]]:
    outputs = _decode_list(raw)[:_MAX_OUTPUTS] if _begins(raw, b"[") else [raw]
    return [_output(output) for output in outputs if _begins(output, b"{")]


def _output(raw: msgspec.Raw) -> dict[str, Any]:
    output = _decode_output(raw)
    shown = _scalars(output, leave_out=("error", *_LISTS_OF_ITEMS)) | _error(output)
    for name in _LISTS_OF_ITEMS:
        items = getattr(output, name)
        if _begins(items, b"["):
            shown[name] = [_item(item) for item in _decode_list(items)[:_MAX_ITEMS]]
    return shown


def _item(raw: msgspec.Raw) -> Any:
    if not _begins(raw, b"{"):
        return _scalar(raw)
    item = _decode_item(raw)
    return _scalars(item, leave_out=("error",)) | _error(item)


def _error(item: _Item) -> dict[str, Any]:
    """Return the `error` of an item, a scalar or an object with a `message`."""
    if not len(item.error):
        return {}
    if _begins(item.error, b"{"):
        return {"error": _scalars(_decode_error(item.error))}
    return {"error": _scalar(item.error)}
