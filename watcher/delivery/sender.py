"""Makes one attempt to send a claimed batch; its outcome becomes results to store."""

import logging
from collections.abc import Callable, Sequence

from watcher.core.clock import monotonic
from watcher.core.cooldown import Cooldown
from watcher.core.deliveries import AttemptResult, DueDelivery, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition, StoreError
from watcher.core.interfaces.channel import Channel, Digesting
from watcher.core.log_fields import Fields, about
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.claimed_queue import ClaimedQueue, message_of
from watcher.delivery.context import DeliveryContext
from watcher.delivery.retry_policy import (
    MAX_RETRY_AFTER,
    Retry,
    delivered_result,
    failed_result,
    next_retry,
)
from watcher.telemetry.metrics import Component

logger = logging.getLogger(__name__)


_ABOUT_PAYLOAD = frozenset({Disposition.REJECTED, Disposition.TOO_LARGE})
_REJECTIONS = frozenset({Disposition.REJECTED, Disposition.PERSISTENT})


class _RemovedError(Exception):
    """The delivery was removed after it had been claimed."""


class Sender:
    """Sends batches to one channel.

    `recovered` is called after an outage; deliveries that were last attempted before its argument
    are due again.
    """

    def __init__(
        self,
        channel: Channel,
        context: DeliveryContext,
        *,
        health: ChannelHealth,
        cooldown: Cooldown,
        queue: ClaimedQueue,
        recovered: Callable[[float], None],
    ) -> None:
        self._channel = channel
        self._context = context
        self._health = health
        self._cooldown = cooldown
        self._queue = queue
        self._recovered = recovered

    async def attempt(self, batch: Sequence[DueDelivery]) -> list[AttemptResult]:
        """Send the batch as one message; return one result for each of its deliveries, none if it
        was removed meanwhile.

        Raises `StoreError` where its body could not be read.
        """
        began, at = monotonic(), self._context.wall()
        try:
            receipt = await self._send(batch)
        except StoreError:
            raise  # nothing was sent
        except _RemovedError:
            return []
        except DeliveryError as error:
            if len(batch) > 1 and error.disposition in _ABOUT_PAYLOAD:
                error = self._split_digest(batch, error)
            return self._failed(batch, error, at, monotonic() - began)
        except Exception as error:
            self._context.unexpected.report(Component.CHANNEL, error)
            text = f"unexpected {type(error).__name__}"
            failure = DeliveryError(DeliveryFailure.PROTOCOL, text)
            return self._failed(batch, failure, at, monotonic() - began)
        self._queue.delivered(batch)
        duration = monotonic() - began
        return [self._one_delivered(delivery, receipt, at, duration) for delivery in batch]

    async def _send(self, batch: Sequence[DueDelivery]) -> Receipt:
        if len(batch) > 1 and isinstance(self._channel, Digesting):
            return await self._channel.send_digest([message_of(delivery) for delivery in batch])
        delivery = batch[0]
        if not delivery.is_large:
            return await self._channel.send(message_of(delivery))
        async with self._context.bodies.reserved(delivery.body_size):
            body = await self._context.store.body(delivery.id)
            if body is None:
                raise _RemovedError
            return await self._channel.send(message_of(delivery, body))

    def _split_digest(self, batch: Sequence[DueDelivery], error: DeliveryError) -> DeliveryError:
        """Send each event of a rejected digest alone, at no cost: any of them may have caused the
        rejection.
        """
        self._queue.send_singly(batch)
        return DeliveryError(
            error.reason,
            str(error),
            disposition=Disposition.NOT_SENT,
            status=error.status,
            response=error.response,
        )

    def _one_delivered(
        self, delivery: DueDelivery, receipt: Receipt, at: float, duration: float
    ) -> AttemptResult:
        now = self._context.wall()
        latency = now - delivery.event_at
        metrics = self._context.metrics
        metrics.delivered(delivery.event_id, duration=duration, latency=latency, at=now)
        self._cooldown.succeeded()
        self._log_attempt(delivery, duration, f"HTTP {receipt.status}")
        if (attempted_before := self._health.delivered(at)) is not None:
            self._recovered(attempted_before)
        return delivered_result(delivery, receipt, attempted_at=at, duration=duration)

    def _failed(
        self, batch: Sequence[DueDelivery], error: DeliveryError, at: float, duration: float
    ) -> list[AttemptResult]:
        if error.disposition is Disposition.GONE:
            self._health.gone(error)
        if error.disposition in _REJECTIONS:
            ids = [delivery.id for delivery in batch]
            self._health.request_rejected(ids, error, self._context.wall())
        results = [self._one_failed(delivery, error, at, duration) for delivery in batch]
        self._health.request_failed(error)
        return results

    def _one_failed(
        self, delivery: DueDelivery, error: DeliveryError, at: float, duration: float
    ) -> AttemptResult:
        now, settings = self._context.wall(), self._context.settings
        retry = next_retry(
            delivery,
            error,
            schedule=settings.attempts,
            suspended=self._health.suspended or self._health.rejects_everything,
            attempted_at=at,
            now=now,
            random=self._context.random,
        )
        self._log_attempt(delivery, duration, error)
        self._report(delivery, error, retry, now, duration)
        if error.disposition is Disposition.OVERLOADED:
            self._pause(error, at_most=max((retry.next_attempt_at or now) - now, 0.0))
        return failed_result(
            delivery,
            error,
            retry,
            attempted_at=at,
            now=now,
            duration=duration,
            order_wait=None if self._health.rejects_everything else settings.order_wait,
        )

    def _pause(self, error: DeliveryError, at_most: float) -> None:
        """Send nothing for a while to an overloaded receiver."""
        named = error.retry_after
        if named is not None and named > MAX_RETRY_AFTER:
            self._health.record.probe_only()
        wait = None if named is None else min(named, MAX_RETRY_AFTER)
        self._cooldown.start(wait, at_most=at_most)

    def _report(
        self,
        delivery: DueDelivery,
        error: DeliveryError,
        retry: Retry,
        now: float,
        duration: float,
    ) -> None:
        if retry.exhausted or error.disposition is not Disposition.REJECTED:
            self._health.failed(delivery.id, error, now)
        if not retry.exhausted:
            self._context.metrics.retried(duration)
            return
        self._context.metrics.failed(duration)
        self._health.retries_exhausted()
        logger.error(
            "channel %r: delivery %d has exhausted its retries (%s)",
            self._context.name,
            delivery.id,
            error,
            extra=self._about(delivery),
        )

    def _about(self, delivery: DueDelivery) -> dict[str, Fields]:
        return about(
            channel=self._context.name,
            delivery_id=delivery.id,
            event_id=delivery.event_id,
            task_id=delivery.task_id,
        )

    def _log_attempt(self, delivery: DueDelivery, duration: float, result: object) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "channel %r: attempt of delivery %d took %.3f s: %s",
                self._context.name,
                delivery.id,
                duration,
                result,
                extra=self._about(delivery),
            )
