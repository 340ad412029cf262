"""Which chunks of tasks one request for changes covers."""

from collections.abc import Mapping, Sequence

from watcher.core.interfaces.source import ChangesEndpoint, LastSeen
from watcher.polling.changed_answers import TaskChunk
from watcher.polling.last_seen import LastSeenTasks
from watcher.polling.sentinels import Sentinels
from watcher.polling.watchlist import TrackedTask


class ChangeRequests:
    """Puts chunks together: one group for each status, as many as fit."""

    def __init__(
        self,
        endpoint: ChangesEndpoint,
        last_seen: LastSeenTasks[TrackedTask],
        sentinels: Sentinels,
    ) -> None:
        self._endpoint = endpoint
        self._last_seen = last_seen
        self._sentinels = sentinels

    def next(self, due: Sequence[TaskChunk]) -> tuple[Sequence[LastSeen], Sequence[TaskChunk]]:
        """Return what to request, and the chunks that it covers; `due` has the most urgent first.

        Both are empty where no chunk has a sentinel.
        """
        if self._endpoint.capacity > self._endpoint.size and due:
            self._last_seen.top_up(due[0])
        chosen = self._fitting([chunk for chunk in due if chunk.count])
        sentinels = self._chosen_sentinels(chosen)
        groups = [
            self._group([chunk for chunk in chosen if chunk.status == status], sentinel)
            for status, sentinel in sentinels.items()
        ]
        return groups, [chunk for chunk in chosen if chunk.status in sentinels]

    def _group(self, chunks: Sequence[TaskChunk], sentinel: str) -> LastSeen:
        ids = [self._last_seen.ids(chunk, self._endpoint.join) for chunk in chunks]
        return LastSeen(
            status=chunks[0].status,
            ids=b",".join(ids),
            count=sum(chunk.count for chunk in chunks),
            sentinel=sentinel,
        )

    def _fitting(self, due: Sequence[TaskChunk]) -> Sequence[TaskChunk]:
        """Return the most urgent chunks that fit into one request."""
        chosen: list[TaskChunk] = []
        room, statuses = self._endpoint.capacity, set[str]()
        for chunk in due:
            more = chunk.status not in statuses
            if chunk.count <= room and len(statuses) + more <= self._endpoint.most_groups:
                chosen.append(chunk)
                statuses.add(chunk.status)
                room -= chunk.count
        return chosen

    def _chosen_sentinels(self, chunks: Sequence[TaskChunk]) -> Mapping[str, str]:
        """Return a sentinel for each status that has one."""
        chosen: dict[str, str] = {}
        for status in dict.fromkeys(chunk.status for chunk in chunks):
            sentinel = self._sentinels.choose(status, chosen.values())
            if sentinel is not None:
                chosen[status] = sentinel
        return chosen
