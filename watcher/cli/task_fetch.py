"""One task as a source returns it now, and where each extracted text stands in the answer."""

import os
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import anyio
import msgspec
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import ExplainsTasks, Explanation
from watcher.core.settings import SourceSettings
from watcher.core.tasks import Answer, Observation, TaskUnreadable
from watcher.net.transport import create_transport
from watcher.telemetry.metrics import Metrics

_BACKEND = {"use_uvloop": os.name != "nt"}


def fetch(settings: SourceSettings, task_id: str) -> Answer | Explanation:
    """Poll one task; a source that can also explains how it reads it.

    Raises `ValueError` for an invalid task ID, and `SourceError`.
    """
    return anyio.run(_fetch, settings, task_id, backend_options=_BACKEND)


async def _fetch(settings: SourceSettings, task_id: str) -> Answer | Explanation:
    metrics = Metrics(CollectorRegistry(), __version__).source(settings.name)
    async with create_transport(connections=1, reached=settings) as transport:
        create = plugins.load("sources", settings.type).create
        alone = settings.without_limit()
        source = create(alone, transport=transport, metrics=metrics, wall=wall_clock)
        if isinstance(source, ExplainsTasks):
            return await source.explain(task_id)
        await source.single.admit()
        async with aclosing(source.single.fetch([task_id])) as parts:
            async for part in parts:
                for answer in part:
                    found: Answer = answer
                    return found
    raise SourceError(SourceFailure.PROTOCOL, "the answer has no task")


def extracted(answer: Answer) -> dict[str, dict[str, str | None]] | None:
    """Return what is taken from the answer: for each field its `value`, and the path `from` which
    it is; None for a task that upstream does not know.
    """
    if isinstance(answer, TaskUnreadable):
        return {"status": {"value": None, "upstream": None, "from": None, "why": answer.reason}}
    if not isinstance(answer, Observation):
        return None
    detail = answer.detail()
    whole = msgspec.json.decode(detail.raw)
    upstream = detail.upstream_status or answer.status
    return {
        "status": {"value": answer.status, "upstream": upstream, "from": path_of(whole, upstream)},
        "type": {"value": answer.task_type, "from": path_of(whole, answer.task_type)},
        "error": {"value": detail.error_message, "from": path_of(whole, detail.error_message)},
    }


def path_of(whole: object, text: str | None) -> str | None:
    """Return the path of `text` in decoded JSON, such as `error.details[0].message`: the shortest
    one whose value is the text itself, else the shortest whose value is a part of it; None if
    there is no such value.
    """
    if not text:
        return None
    parts = None
    waiting: deque[tuple[str, Any]] = deque([("", whole)])
    while waiting:
        path, value = waiting.popleft()
        if isinstance(value, Mapping):
            waiting += (
                (f"{path}.{name}" if path else str(name), one) for name, one in value.items()
            )
        elif isinstance(value, list):
            waiting += ((f"{path}[{number}]", one) for number, one in enumerate(value))
        elif isinstance(value, str) and value == text:
            return path
        elif isinstance(value, str) and value.strip() and value in text and parts is None:
            parts = path
    return parts
