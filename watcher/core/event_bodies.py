"""The body of an event, field by field.

The same classes build what is sent, and describe it in the API's document, the JSON Schema and the
reference.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
"""The form of a time: RFC 3339 in UTC."""


class TaskData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `task.*`. Fields that upstream added to the task follow unchanged."""

    task_id: Annotated[str, Meta(description="ID of the task")]
    task_type: Annotated[
        str | None, Meta(description="type of the task, cut to 256 characters, or null")
    ]
    source: Annotated[str, Meta(description="name of the source")]
    namespace: Annotated[
        str | None,
        Meta(
            description="namespace of the watch, else of the task, cut to 256 characters, or null"
        ),
    ]
    previous_status: Annotated[str | None, Meta(description="status before, null for the first")]
    status: Annotated[
        str | None,
        Meta(
            description="status now, under its canonical name, of at most 100 characters; null in"
            " `task.lost` if none was ever seen"
        ),
    ]
    upstream_status: Annotated[
        str | None,
        Meta(
            description="upstream's own word for it, of at most 256 characters; null in"
            " `task.lost` and `task.stalled`"
        ),
    ]
    terminal: Annotated[bool, Meta(description="true if the status is final")]
    sequence: Annotated[
        int,
        Meta(
            ge=0,
            description="number of the task's transition, from 1; not advanced by `task.lost` and"
            " `task.stalled`",
        ),
    ]
    error_message: Annotated[
        str | None, Meta(description="error of the task, cut to 8,192 characters, or null")
    ]
    inputs: Annotated[Any, Meta(description="as upstream returned them")] = UNSET
    outputs: Annotated[Any, Meta(description="as upstream returned them")] = UNSET
    additional_data: Annotated[Any, Meta(description="as upstream returned it")] = UNSET
    labels: Annotated[
        Mapping[str, str],
        Meta(
            description="labels of the watch: at most 20, names of 64 and values of 256 characters"
        ),
    ]
    unreadable: Annotated[
        Sequence[str] | UnsetType,
        Meta(
            description="only if there are any: the paths of values that JSON cannot represent,"
            " sent as null; the first 100"
        ),
    ] = UNSET
    truncated: Annotated[
        bool | UnsetType,
        Meta(
            description="only if true: the event was too large for the receiver or for"
            " `max_body`, and fields are left out"
        ),
    ] = UNSET
    observed_from: Annotated[
        str | UnsetType,
        Meta(
            description="`batch` if the task itself was gone and its batch showed the status; else"
            " absent"
        ),
    ] = UNSET
    reason: Annotated[
        str | UnsetType,
        Meta(
            description="only in `task.lost` and `task.stalled`, whose other fields are the last"
            " known ones; at most 1,000 characters"
        ),
    ] = UNSET


class SourceData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `source.*`."""

    source: Annotated[str, Meta(description="name of the source")]
    reason: Annotated[str | None, Meta(description="what failed, in one word")]
    status: Annotated[int | None, Meta(description="HTTP status of the last failure, or null")]
    error: Annotated[
        str | None,
        Meta(
            description="text of the last failure, with the first line of the response, cut to"
            " 8,192 characters, or null"
        ),
    ]
    since: Annotated[str, Meta(pattern=TIME, description="start of the outage")]
    active_watches: Annotated[int, Meta(ge=0, description="number of active watches of the source")]


class ChannelData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `channel.*`."""

    channel: Annotated[str, Meta(description="name of the channel")]
    reason: Annotated[
        str | None,
        Meta(
            description="what failed, in one word; for a backlog above its share of the store, in"
            " words with the number and the times of the deliveries that failed"
        ),
    ]
    status: Annotated[int | None, Meta(description="HTTP status of the last failure, or null")]
    error: Annotated[
        str | None,
        Meta(
            description="text of the last failure, with the first line of the response, cut to"
            " 8,192 characters, or null"
        ),
    ]
    since: Annotated[str, Meta(pattern=TIME, description="start of the outage")]
    pending: Annotated[int, Meta(ge=0, description="number of pending deliveries of the channel")]


class ChannelTestData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of `watcher.test`."""

    channel: Annotated[str, Meta(description="name of the channel")]
    reason: Annotated[str, Meta(description="which command sent the test")]


SystemData = SourceData | ChannelData | ChannelTestData
"""`data` of an event that is not about a task."""


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    type: Annotated[str, Meta(description="what happened, such as `task.failed`")]
    timestamp: Annotated[str, Meta(pattern=TIME, description="when the watcher saw it, in UTC")]
    data: Annotated[Any, Meta(description="what it is about")]
