"""How a source reads one task, as lines and as JSON, with the event that would follow."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watcher.core.events import event_type
from watcher.core.interfaces.source import Explanation
from watcher.core.route_test import TestedEvent, tested
from watcher.core.settings import Settings
from watcher.core.tasks import TERMINAL_STATUSES, Observation


def record(found: Explanation, settings: Settings, source: str) -> dict[str, Any]:
    """Return the explanation as JSON has it."""
    return {
        "request": found.request,
        "found": [
            {"name": one.name, "path": one.path, "value": one.value, "meaning": one.meaning}
            for one in found.findings
        ],
        "budget": list(found.budget),
        "event": _event(found, settings, source),
        "list": found.listed,
    }


def _event(found: Explanation, settings: Settings, source: str) -> Mapping[str, Any] | None:
    answer = found.answer
    if not isinstance(answer, Observation):
        return None
    event = TestedEvent(status=answer.status, task_type=answer.task_type, source=source)
    return {
        "type": event_type(answer.status),
        "status": answer.status,
        "terminal": answer.status in TERMINAL_STATUSES,
        "channels": list(tested(settings, event).channels),
    }


def lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a record."""
    yield shown["request"]
    yield from _columns(shown["found"])
    for text in shown["budget"]:
        yield f"budget  {text}"
    if (event := shown["event"]) is not None:
        kind = "an end" if event["terminal"] else "not an end"
        channels = ", ".join(event["channels"]) or "none"
        yield f"event   {event['type']}, {kind}; channels: {channels}"
    if shown["list"] is not None:
        yield f"list    {shown['list']}"


def _columns(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = max((len(one["name"]) for one in found), default=0)
    paths = max((len(one["path"]) for one in found), default=0)
    for one in found:
        value = "absent" if one["value"] is None else one["value"]
        meaning = "" if one["meaning"] is None else f"  → {one['meaning']}"
        yield f"  {one['name']:<{names}}  {one['path']:<{paths}}  {value}{meaning}".rstrip()
