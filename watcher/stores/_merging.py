"""How requests to watch tasks are merged with what is on the watchlist, for every store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from watcher.core import labels
from watcher.core.reading import TaskOrder, TaskSelection
from watcher.core.tasks import Added, TaskKey, Watch, WatchFilter, WatchRequest, WatchState


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The watches of some requests, as they were stored before and are to be stored now.

    `overfull` is the ID of a task that would have too many labels, if any; its watch keeps those
    that it has.
    """

    requests: Sequence[WatchRequest]
    before: Mapping[TaskKey, Watch]
    after: Mapping[TaskKey, Watch]
    overfull: str | None

    @cached_property
    def new(self) -> Sequence[Watch]:
        """The watches to insert."""
        return [watch for key, watch in self.after.items() if key not in self.before]

    @cached_property
    def changed(self) -> Sequence[Watch]:
        """The watches of which the namespace, the labels or the state is to be updated."""
        before = self.before
        return [
            watch for key, watch in self.after.items() if key in before and watch != before[key]
        ]

    @property
    def result(self) -> Added:
        """What the caller gets once all is stored."""
        new = {watch.key for watch in self.new}
        lost = {key for key, watch in self.before.items() if watch.lost_at is not None}
        reopened = {
            watch.key for watch in self.changed if watch.state is not self.before[watch.key].state
        }
        return Added(
            added=len(new),
            existing=len(self.requests) - len(new),
            watches=tuple(self.after[request.key] for request in self.requests),
            reactivated=frozenset(new | lost | reopened),
        )


def merged(requests: Sequence[WatchRequest], before: Mapping[TaskKey, Watch], now: float) -> Merged:
    """Return what is to be stored. `before` are the stored watches of the requests."""
    after, overfull = dict(before), None
    for request in requests:
        watch = after.get(request.key) or Watch(key=request.key, added_at=now)
        both = labels.merged(watch.labels, request.labels)
        if both is None:
            overfull = request.key.task_id
        after[request.key] = replace(
            watch,
            namespace=request.namespace if watch.namespace is None else watch.namespace,
            labels=watch.labels if both is None else both,
            state=WatchState.ACTIVE if request.again else watch.state,
        )
    return Merged(requests=requests, before=before, after=after, overfull=overfull)


def selection(selected: WatchFilter) -> TaskSelection:
    """Return the filter of a list whose rows are examined."""
    return TaskSelection(
        statuses=selected.statuses,
        running=selected.state is WatchState.ACTIVE,
        done=selected.state is WatchState.DONE,
        labels=selected.labels,
        task_type=selected.task_type,
        batch=selected.batch,
        search=selected.search,
        error=selected.error,
        changed_since=selected.changed_since,
        order=TaskOrder.ADDED,
    )
