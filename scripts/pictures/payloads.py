"""What the Slack channel sends for made-up events: its real requests, in virtual time."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import httpx
import msgspec

from tests.support.virtual_time import VirtualLoop
from watcher.channels.slack import channel as slack
from watcher.core.clock import parse_rfc3339, rfc3339
from watcher.core.deliveries import Message
from watcher.core.event_bodies import ChannelData, SourceData, SystemData
from watcher.core.events import Event, system_event, task_alert_event, task_event
from watcher.core.tasks import Detail, Observation, TaskKey, Watch
from watcher.delivery.notes import InMemoryNotes

AT = 1_795_417_200.0
"""When everything happens: 2026-11-23 07:00 UTC."""
LINKS = {
    "task": "https://console.example/tasks/{task_id}",
    "batch": "https://console.example/batches/{batch_id}",
    "Runbook": "https://wiki.example/batches",
}
_TYPE = "api_buckets_batches_process"
_OUT_OF_MEMORY = "CUDA out of memory: tried to allocate 2.00 GiB"
_BATCH = {"batch_id": "batch_spring", "bucket_id": "bkt_products"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The JSON of one message; `in_thread` if it replies to the one before."""

    content: Mapping[str, Any]
    in_thread: bool = False


@dataclass(slots=True)
class _Slack:
    """Accepts everything, and keeps what a message shows last."""

    posted: dict[str, Posted] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        ts = content.get("ts") or f"{len(self.posted)}.0"
        self.posted[ts] = Posted(content=content, in_thread="thread_ts" in content)
        return httpx.Response(200, json={"ok": True, "channel": "C0", "ts": ts})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """The details of a task of upstream."""

    error: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def of(self, task_id: str) -> Detail:
        task = {"task_id": task_id, "additional_data": _BATCH, **self.fields}
        return Detail(error_message=self.error, raw=msgspec.Raw(msgspec.json.encode(task)))


def shots() -> dict[str, Sequence[Posted]]:
    """Return the messages of each picture by its name."""
    return {
        "failure": _sent(_one_by_one(_failed())),
        "partial": _sent(_one_by_one(_partial())),
        "stalled": _sent(_one_by_one(_stalled())),
        "again": _sent(_one_by_one(replace(_failed(), sent_again=True)), delay=7_860),
        "digest": _sent(_several(_storm())),
        "outage": _sent(
            _one_by_one(_outage("source.unreachable", 60), _outage("source.recovered", 2520)),
            bot=True,
        ),
        "channel": _sent(_one_by_one(_failing())),
        "batch": _sent(_several(_batch()), bot=True),
    }


class _Clock:
    """Shows `delay` seconds after the event that is sent."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self.at = 0.0

    def follow(self, message: Message) -> None:
        self.at = parse_rfc3339(json.loads(message.body)["timestamp"]) + self._delay


Send = Callable[[Any, _Clock], Awaitable[None]]


def _sent(send: Send, *, bot: bool = False, delay: float = 2) -> Sequence[Posted]:
    """Return what a webhook's channel, or a bot's, sends `delay` seconds after each event."""
    receiver = _Slack()
    clock = _Clock(delay)
    place: dict[str, Any] = {"url": "https://hooks.slack.com/services/T0/B0/x"}
    if bot:
        place = {"bot_token": "xoxb-made-up-0123456789", "slack_channel": "#alerts"}
    settings = slack.Settings(name="alerts", mention="<!here>", links=LINKS, **place)

    async def run() -> None:
        channel = slack.create(
            settings,
            transport=httpx.MockTransport(receiver),
            notes=InMemoryNotes(),
            wall=lambda: clock.at,
        )
        await send(channel, clock)

    anyio.run(run, backend_options={"loop_factory": VirtualLoop})
    return list(receiver.posted.values())


def _one_by_one(*messages: Message) -> Send:
    async def send(channel: Any, clock: _Clock) -> None:
        for message in messages:
            clock.follow(message)
            await channel.send(message)

    return send


def _several(messages: Sequence[Message]) -> Send:
    async def send(channel: Any, clock: _Clock) -> None:
        clock.follow(messages[-1])
        await channel.send_digest(messages)

    return send


def _message(event: Event) -> Message:
    return Message(
        event_id=event.event_id, type=event.type, body=event.body, watched_for=event.watched_for
    )


def _watch(task_id: str) -> Watch:
    return Watch(
        key=TaskKey("mixpeek", task_id),
        labels={"team": "search"},
        status="IN_PROGRESS",
        sequence=2,
        task_type=_TYPE,
        added_at=AT - 2_490,
    )


def _changed(task_id: str, status: str, task: _Task) -> Message:
    seen = Observation(task_id=task_id, status=status, task_type=_TYPE, details=task)
    return _message(
        task_event(
            _watch(task_id),
            seen,
            namespace="production",
            sequence=3,
            at=AT,
            event_id=f"msg_{task_id}",
            channels=(),
        )
    )


def _failed() -> Message:
    error = "Failed to process batch: Object not found\ns3://catalogue/spring/0042.mp4 (HTTP 404)"
    return _changed("task_catalogue_2", "FAILED", _Task(error=error))


def _partial() -> Message:
    items = [
        {"object_id": "obj_0017", "error": "Unsupported codec: prores_raw"},
        {"object_id": "obj_0112", "error": "Frame extraction timed out after 120 s"},
        {"object_id": "obj_0203", "error": "Image is 0 bytes"},
    ]
    output = {"failed_count": 7, "processed_count": 240, "success_rate": 0.971, "errors": items}
    return _changed(
        "task_catalogue_3", "COMPLETED_WITH_ERRORS", _Task(fields={"outputs": [output]})
    )


def _stalled() -> Message:
    reason = "status IN_PROGRESS unchanged for 24 h"
    return _message(
        task_alert_event(
            _watch("task_clusters"),
            "task.stalled",
            reason=reason,
            at=AT,
            event_id="msg_stalled",
            channels=(),
        )
    )


def _storm() -> list[Message]:
    errors = [_OUT_OF_MEMORY] * 24 + ["Object obj_17 not found", "Object obj_98 not found"] * 7
    return [
        _changed(f"task_{number:03}", "FAILED", _Task(error=error))
        for number, error in enumerate(errors)
    ]


def _batch() -> list[Message]:
    statuses = ["COMPLETED"] * 31 + ["FAILED"] * 2 + ["IN_PROGRESS"] * 7
    return [
        _changed(
            f"task_{number:03}", status, _Task(error=_OUT_OF_MEMORY if status == "FAILED" else None)
        )
        for number, status in enumerate(statuses)
    ]


def _outage(kind: str, after: float) -> Message:
    data = SourceData(
        source="mixpeek",
        reason="unavailable",
        status=503,
        error="HTTP 503: upstream connect error or disconnect/reset before headers",
        since=rfc3339(AT - 2_520),
        active_watches=1_204,
    )
    return _system(kind, AT - 2_520 + after, data)


def _failing() -> Message:
    data = ChannelData(
        channel="backend",
        reason="timeout",
        status=None,
        error="not answered within 15 s",
        since=rfc3339(AT - 300),
        pending=87,
    )
    return _system("channel.failing", AT, data)


def _system(kind: str, at: float, data: SystemData) -> Message:
    return _message(
        system_event(kind, at=at, event_id=f"msg_{kind}", data=data, order_key="", channels=())
    )
