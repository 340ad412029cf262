"""Where a channel keeps its notes: in the store, or in memory for a process without a store."""

from watcher.core.clock import Clock
from watcher.core.interfaces.store import ChannelStates


class StoredNotes:
    """Implements `watcher.core.interfaces.channel.Notes`."""

    def __init__(self, store: ChannelStates, channel: str, wall: Clock) -> None:
        self._store = store
        self._channel = channel
        self._wall = wall

    async def read(self, name: str) -> bytes | None:
        return await self._store.read_note(self._channel, name)

    async def write(self, name: str, value: bytes) -> None:
        await self._store.write_note(self._channel, name, value, self._wall())


class InMemoryNotes:
    """Implements `watcher.core.interfaces.channel.Notes`; lost when the process ends."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    async def read(self, name: str) -> bytes | None:
        return self._notes.get(name)

    async def write(self, name: str, value: bytes) -> None:
        self._notes[name] = value
