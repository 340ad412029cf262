"""When pending deliveries become due although their schedules say later."""

from watcher.delivery.context import DeliveryContext
from watcher.delivery.receiver_record import ReceiverRecord


class DueAgain:
    """Remembers that deliveries of one channel are to be made due until that is stored."""

    def __init__(self, context: DeliveryContext, record: ReceiverRecord) -> None:
        self._context = context
        self._record = record
        self._attempted_before: float | None = None
        self._despite_retry_after = False
        self._in_order = False

    def request(self, attempted_before: float, *, despite_retry_after: bool = False) -> None:
        """Make those due that were last attempted before this Unix time, with
        `despite_retry_after` also before the receiver's `Retry-After` is over.
        """
        self._attempted_before = max(self._attempted_before or 0.0, attempted_before)
        self._despite_retry_after |= despite_retry_after

    async def give_places_back(self) -> None:
        """Let the oldest of each queue be the next again, if rejections that turned out to concern
        everything have let later ones pass. Raises `StoreError`; the next call then tries again.
        """
        if not self._record.take_places_lost():
            return
        try:
            await self._context.store.make_due(
                self._context.name, 0.0, self._context.wall(), in_order=True
            )
        except BaseException:
            self._record.places_not_stored()
            raise

    async def apply(self) -> None:
        """Store what was requested. Raises `StoreError`; the next call then tries again."""
        if (attempted_before := self._attempted_before) is None:
            return
        despite_retry_after = self._despite_retry_after
        in_order = self._record.take_order_lost() or self._in_order
        # Taken before it is stored, because another request may arrive meanwhile.
        self._attempted_before, self._despite_retry_after, self._in_order = None, False, False
        try:
            await self._context.store.make_due(
                self._context.name,
                attempted_before,
                self._context.wall(),
                in_order=in_order,
                despite_retry_after=despite_retry_after,
            )
        except BaseException:
            self.request(attempted_before, despite_retry_after=despite_retry_after)
            self._in_order = in_order
            raise
