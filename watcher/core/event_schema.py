"""JSON Schemas of the events, from the classes that build their bodies."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from watcher.core.event_bodies import (
    ChannelData,
    ChannelTestData,
    EventBody,
    SourceData,
    TaskData,
)
from watcher.core.events import event_type
from watcher.core.example_events import TEST_EVENT
from watcher.core.selectors import KNOWN_EVENTS
from watcher.core.tasks import KNOWN_STATUSES, TERMINAL_STATUSES

Schema = Mapping[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OTHER_STATUS = "task.*"
"""Names the events of statuses that the watcher does not know."""
SENT_WHEN: Mapping[str, str] = {
    **{
        event_type(status): f"the status became {status}"
        + (" (terminal)" if status in TERMINAL_STATUSES else "")
        for status in sorted(KNOWN_STATUSES)
    },
    "task.lost": "upstream has answered 404 for longer than `lost_after`",
    "task.stalled": "the status has not changed for longer than `stalled_after`",
    "source.unreachable": "a source has failed for `unreachable_after`, rejects the key, or knows"
    " none of the tasks",
    "source.recovered": "a source that was unreachable answers again",
    "channel.failing": "a channel has failed for `alert_after`, a delivery ended as `failed`, or"
    " its backlog exceeds its share of the store",
    "channel.recovered": "a channel that failed accepts deliveries again",
    "channel.stopped": "a channel was stopped by its receiver (410), or is off after three days of"
    " failures",
}
"""Each type of `KNOWN_EVENTS`, and when it is sent."""

_STATUS_OF = {event_type(status): status for status in KNOWN_STATUSES}
_DATA: Mapping[str, type[msgspec.Struct]] = {
    "task": TaskData,
    "source": SourceData,
    "channel": ChannelData,
}


def event_schemas(reference: str) -> tuple[dict[str, str], dict[str, Schema]]:
    """Return the name of each type's schema, and the schemas by name.

    `reference` is the form of a reference to one, with `{name}`. A channel's `omit` leaves out
    fields that are required here.
    """
    models = (EventBody, *_DATA.values(), ChannelTestData)
    _, schemas = msgspec.json.schema_components(models, ref_template=reference)
    body = schemas.pop(EventBody.__name__)
    names: dict[str, str] = {}
    for kind in (*KNOWN_EVENTS, OTHER_STATUS, TEST_EVENT):
        names[kind] = _name(kind)
        data = {"$ref": reference.format(name=_data_of(kind).__name__), **_narrowed(kind)}
        properties = {**body["properties"], "type": _type(kind), "data": data}
        text = _description(kind)
        schemas[names[kind]] = {
            **body,
            "title": kind,
            "description": text,
            "properties": properties,
        }
    return names, schemas


def json_schema() -> Schema:
    """Return one schema of every event that is sent."""
    reference = "#/$defs/{name}"
    names, schemas = event_schemas(reference)
    return {
        "$schema": DIALECT,
        "title": "Events of the watcher",
        "description": "The body of a webhook, and the data of `GET /v1/events`.",
        "anyOf": [{"$ref": reference.format(name=name)} for name in names.values()],
        "$defs": schemas,
    }


def _name(kind: str) -> str:
    """Return `TaskFailed` for `task.failed`."""
    return re.sub(r"[^A-Za-z]", "", kind.replace("*", "other").title())


def _data_of(kind: str) -> type[msgspec.Struct]:
    return ChannelTestData if kind == TEST_EVENT else _DATA[kind.partition(".")[0]]


def _type(kind: str) -> Schema:
    if kind == OTHER_STATUS:
        return {"type": "string", "pattern": r"^task\.", "not": {"enum": [*KNOWN_EVENTS]}}
    return {"const": kind}


def _narrowed(kind: str) -> Schema:
    """Return what `data` has in this type alone."""
    if (status := _STATUS_OF.get(kind)) is None:
        return {}
    terminal = status in TERMINAL_STATUSES
    return {"properties": {"status": {"const": status}, "terminal": {"const": terminal}}}


def _description(kind: str) -> str:
    if kind == TEST_EVENT:
        return "Sent by `watcher channels test`."
    if kind == OTHER_STATUS:
        return "Sent when the status became another one."
    return f"Sent when {SENT_WHEN[kind]}."
