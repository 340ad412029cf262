"""The query of the list of tasks. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from starlette.datastructures import QueryParams

from watcher.api.problems import Problem
from watcher.core import labels
from watcher.core.clock import parse_rfc3339
from watcher.core.reading import TaskSelection
from watcher.core.tasks import TaskKey, Watch

MOST_STATUSES = 100
LONGEST = 256
"""Characters of a text to search for."""
_LONGEST_ADDRESS = 6000
"""Characters: with more, the rows of a list are not named, because a server has a limit."""
_FURTHER = ("type", "label", "source", "namespace")
_FILTERS = ("status", "state", "lost", "stalled", "q", *_FURTHER, "batch", "since", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """What a page of tasks was requested with: each filter as it was sent."""

    sent: Mapping[str, Sequence[str]]

    def first(self, name: str) -> str:
        """Return the value of a filter, `` without one."""
        return self.sent[name][0] if self.sent.get(name) else ""

    @property
    def has_further(self) -> bool:
        """Whether a filter is set that is folded otherwise."""
        return any(map(self.first, _FURTHER))

    @property
    def is_filtered(self) -> bool:
        """Whether any filter is set but for the status."""
        filters = map(self.first, ("q", *_FURTHER, "batch", "since"))
        return any(filters) or self.error is not None

    @property
    def error(self) -> str | None:
        """The error of tasks that failed alike, empty for those without one; None for all."""
        return next(iter(self.sent.get("error", ())), None)

    def address(self, **changed: str | None) -> str:
        """Return the address of this list with some parameters changed; None removes one."""
        merged = {name: list(values) for name, values in self.sent.items()}
        merged |= {name: [value] if value else [] for name, value in changed.items()}
        pairs = [
            (name, value)
            for name, values in merged.items()
            for value in values
            if value or name == "error"
        ]
        return f"tasks?{urlencode(pairs, quote_via=quote)}" if pairs else "tasks"


def query_of(parameters: QueryParams) -> TaskQuery:
    """Return the filters of a request."""
    sent = {name: parameters.getlist(name) for name in _FILTERS}
    stripped = {name: [value.strip() for value in values] for name, values in sent.items()}
    return TaskQuery(sent=stripped | {"error": sent["error"]})  # whose beginning counts as it is


def selection_of(query: TaskQuery) -> TaskSelection:
    """Return the watches that a query selects. Raises `Problem`."""
    longest = max(len(query.first("q")), len(query.error or ""))
    if len(query.sent["status"]) > MOST_STATUSES or longest > LONGEST:
        raise Problem(
            422, f"a search has at most {LONGEST} characters and {MOST_STATUSES} statuses"
        )
    return TaskSelection(
        statuses=tuple(status.upper() for status in query.sent["status"] if status),
        running=query.first("state") == "active",
        lost=bool(query.first("lost")),
        stalled=bool(query.first("stalled")),
        search=query.first("q") or None,
        error=query.error,
        task_type=query.first("type") or None,
        batch=query.first("batch") or None,
        source=query.first("source") or None,
        namespace=query.first("namespace") or None,
        labels=_labels(query.sent["label"]),
        changed_since=_time(query.first("since")),
    )


def _labels(texts: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for text in (part for value in texts for part in value.split(",") if part.strip()):
        name, sign, value = text.partition(":") if ":" in text else text.partition("=")
        if not sign:
            raise Problem(422, f"label: expected name:value, not {text!r}")
        found[name.strip()] = value.strip()
    if len(found) > labels.MOST:
        raise Problem(422, f"label: at most {labels.MOST} labels")
    return found


def _time(text: str) -> float | None:
    try:
        return parse_rfc3339(text) if text else None
    except ValueError as error:
        raise Problem(422, f"since: {error}") from None


def still_matches(watch: Watch, selected: TaskSelection) -> bool:
    """Return whether a row of a list has the status that the list is of still."""
    if selected.statuses and watch.status not in selected.statuses:
        return False
    if selected.running and watch.state != "active":
        return False
    return not (selected.lost and watch.lost_at is None) and not (
        selected.stalled and watch.stalled_at is None
    )


def named_rows(watches: Sequence[Watch]) -> str | None:
    """Return the rows of a list as a parameter of its address; None if it would be too long."""
    text = ",".join(
        f"{quote(w.key.source, safe='')}~{quote(w.key.task_id, safe='')}" for w in watches
    )
    return text if len(text) <= _LONGEST_ADDRESS else None


def keys_of(rows: str) -> list[TaskKey]:
    """Return the tasks that such a parameter names. Raises `Problem`."""
    pairs = [row.partition("~") for row in rows.split(",") if row]
    if len(pairs) > 1000 or not all(sign for _, sign, _ in pairs):
        raise Problem(422, "rows: expected source~task, separated by commas")
    return [TaskKey(unquote(source), unquote(task_id)) for source, _, task_id in pairs]
