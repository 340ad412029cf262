"""Smaller forms of an event's body, for receivers that do not take all of it. Pure.

    form    without
    0       the fields to omit
    1       also `inputs` and `outputs`
    2       also `additional_data` and the fields that upstream added

Forms 1 and 2 are marked `truncated`. Only events about tasks have them.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

_LARGE = frozenset({"inputs", "outputs"})
_ALWAYS_KEPT = frozenset(
    {
        *("task_id", "task_type", "source", "namespace", "labels"),
        *("previous_status", "status", "upstream_status", "terminal", "sequence"),
        *("error_message", "reason", "unreadable", "observed_from"),
    }
)
"""What a receiver needs to act; the watcher bounds it."""


class _Body(msgspec.Struct):
    type: str
    timestamp: str
    data: dict[str, msgspec.Raw]


_SHORT = 4096
"""Bytes of a field that a summary keeps."""
_SHORT_MEMBER = 256

_NULL = msgspec.Raw(b"null")
_decode = msgspec.json.Decoder(_Body).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class EventForms:
    """The forms that one channel sends: within `limit` bytes, and without the fields to `omit`."""

    def __init__(self, *, limit: int, omit: Collection[str]) -> None:
        self._limit = limit
        self._omit = frozenset(omit)

    def of(self, body: bytes) -> Iterator[bytes]:
        """Yield the largest form within the limit, then each smaller one.

        Where none is within the limit, yields the smallest.
        """
        whole = _without(body, self._omit) if self._omit else body
        if len(whole) <= self._limit:
            yield whole
        smaller = _smaller(whole)
        for form in smaller:
            if len(form) <= self._limit or form is smaller[-1]:
                yield form
        if not smaller and len(whole) > self._limit:
            yield whole


def summary(body: bytes) -> bytes:
    """Return an event with the fields alone that are short, and of `additional_data` its short
    members: what people are shown of one event among many.
    """
    content = _decode(body)
    data = {name: raw for name, raw in content.data.items() if len(raw) <= _SHORT}
    if "additional_data" not in data:
        data["additional_data"] = _short_members(content.data.get("additional_data"))
    return _encode(msgspec.structs.replace(content, data=data))


def _short_members(raw: msgspec.Raw | None) -> msgspec.Raw:
    try:
        members = _decode_members(b"{}" if raw is None else raw)
    except msgspec.MsgspecError:
        return _NULL
    short = {name: value for name, value in members.items() if len(value) <= _SHORT_MEMBER}
    return msgspec.Raw(_encode(short))


def _without(body: bytes, omit: Collection[str]) -> bytes:
    content = _decode(body)
    data = {name: raw for name, raw in content.data.items() if name not in omit}
    return _encode(msgspec.structs.replace(content, data=data))


def _smaller(whole: bytes) -> Sequence[bytes]:
    """Return forms 1 and 2, as far as they are smaller."""
    content = _decode(whole)
    if "task_id" not in content.data:
        return []
    forms: list[bytes] = []
    for data in (
        {name: raw for name, raw in content.data.items() if name not in _LARGE},
        {name: raw for name, raw in content.data.items() if name in _ALWAYS_KEPT},
    ):
        data["truncated"] = msgspec.Raw(b"true")
        form = _encode(msgspec.structs.replace(content, data=data))
        if len(form) < len(forms[-1] if forms else whole):
            forms.append(form)
    return forms
