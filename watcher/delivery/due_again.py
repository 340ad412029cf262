"""When pending deliveries become due although their schedules say later."""

from watcher.delivery.context import DeliveryContext
from watcher.delivery.receiver_record import ReceiverRecord


class DueAgain:
    """Remembers that deliveries of one channel are to be made due until that is stored."""

    def __init__(self, context: DeliveryContext, record: ReceiverRecord) -> None:
        self._context = context
        self._record = record
        self._attempted_before: float | None = None
        self.despite_retry_after = False
        """Whether deliveries become due before the receiver's `Retry-After` is over."""

    def request(self, attempted_before: float, *, despite_retry_after: bool = False) -> None:
        """Make those due that were last attempted before this Unix time."""
        self._attempted_before = attempted_before
        self.despite_retry_after |= despite_retry_after

    async def apply(self) -> None:
        """Store what was requested. Raises `StoreError`; the next call then tries again."""
        if (attempted_before := self._attempted_before) is None:
            return
        await self._context.store.make_due(
            self._context.name,
            attempted_before,
            self._context.wall(),
            in_order=self._record.take_order_lost(),
            despite_retry_after=self.despite_retry_after,
        )
        self._attempted_before = None
        self.despite_retry_after = False
