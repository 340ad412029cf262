"""The events, from the classes that build them."""

import json
from collections.abc import Mapping

import msgspec

from scripts.reference.markdown import Json, code, page, table
from watcher.core.event_bodies import ChannelData, SourceData, TaskData
from watcher.core.event_schema import SENT_WHEN
from watcher.core.events import task_event
from watcher.core.tasks import Detail, Observation, TaskKey, Watch

INTRODUCTION = """
A webhook is a `POST` with the body below and the headers `webhook-id`, `webhook-timestamp` and
`webhook-signature` of [Standard Webhooks](https://www.standardwebhooks.com). `GET /v1/events`
streams the same bodies.
"""
UNKNOWN_STATUS = """
Any other status has the type `task.` and the status in lower case, with characters outside
`[a-z0-9_]` as `_`.
"""
SCHEMAS = """
## Schemas

`GET /openapi.json` describes each type under `webhooks`, and the package contains one JSON Schema
of all:

```sh
cat "$(python -c 'import watcher; print(watcher.__path__[0])')/schemas/events.json"
```

Fields that a channel's `omit` names, and those that the smaller form of a large event lacks, are
absent whatever the schema requires.
"""


class _Details:
    """The task of the example events."""

    def of(self, task_id: str) -> Detail:
        task = {
            "task_id": task_id,
            "inputs": ["batch_xyz"],
            "additional_data": {"batch_id": "batch_xyz"},
        }
        error = "Failed to process batch: Object not found"
        return Detail(
            error_message=error,
            raw=msgspec.Raw(msgspec.json.encode(task)),
            upstream_status="failed",
        )


def events() -> str:
    return page(
        "Events reference",
        INTRODUCTION,
        f"```json\n{json.dumps(_example(), indent=2)}\n```",
        "## Types",
        UNKNOWN_STATUS,
        table(["type", "sent when"], _rows(SENT_WHEN)),
        "## `data` of `task.*`",
        "Other fields of the task follow unchanged.",
        table(["field", "value"], _fields(TaskData)),
        "## `data` of `source.*`",
        table(["field", "value"], _fields(SourceData)),
        "## `data` of `channel.*`",
        table(["field", "value"], _fields(ChannelData)),
        SCHEMAS,
    )


def _example() -> Json:
    """Return the body of a transition."""
    watch = Watch(
        key=TaskKey("mixpeek", "task_1"),
        labels={"team": "search"},
        status="IN_PROGRESS",
        sequence=2,
        added_at=0.0,
    )
    seen = Observation(
        task_id="task_1",
        status="FAILED",
        task_type="api_buckets_batches_process",
        details=_Details(),
    )
    at = 1795417200.123456
    changed = task_event(
        watch, seen, namespace=None, sequence=3, at=at, event_id="msg_1", channels=()
    )
    body: Json = json.loads(changed.body)
    return body


def _fields(model: type[msgspec.Struct]) -> list[list[str]]:
    """Return each field with its description."""
    schema = msgspec.json.schema(model)["$defs"][model.__name__]
    return [[code(name), field["description"]] for name, field in schema["properties"].items()]


def _rows(texts: Mapping[str, str]) -> list[list[str]]:
    return [[code(name), text] for name, text in texts.items()]
