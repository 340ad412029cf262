"""How many task IDs a request for changes may hold, kept across restarts."""

from watcher.core.errors import StoreError
from watcher.core.interfaces.source import ChangesEndpoint
from watcher.polling.context import PollingContext


class ListSize:
    """The size of one source's requests: stored when it changes."""

    def __init__(self, endpoint: ChangesEndpoint, context: PollingContext) -> None:
        self._endpoint = endpoint
        self._context = context
        self._stored = endpoint.size

    async def restore(self) -> None:
        """Begin with the size that was stored last."""
        try:
            stored = await self._context.store.list_size(self._context.source_name)
        except StoreError:
            return  # it is learnt again
        if stored is not None:
            self._endpoint.restore(stored)
            self._stored = stored

    async def note(self) -> None:
        """Store the size if it has changed."""
        size = self._endpoint.size
        if size == self._stored:
            return
        try:
            await self._context.store.store_list_size(self._context.source_name, size)
        except StoreError:
            return  # the next request tries again
        self._stored = size
