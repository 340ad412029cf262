"""What a channel takes over from before a restart or a reload."""

from watcher.core.cooldown import Cooldown
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.context import DeliveryContext
from watcher.delivery.retry_policy import MAX_RETRY_AFTER
from watcher.delivery.target import is_digest_of, new_digest


async def restore(context: DeliveryContext, health: ChannelHealth, cooldown: Cooldown) -> bool:
    """Restore the phase and the pause of the channel. Raises `StoreError`.

    Returns whether its settings have changed: then what the receiver answered before concerns it no
    longer, and everything pending is to be attempted.
    """
    await health.load()
    stored = await context.store.target(context.name)
    # What was due at a time that is in the future again, because the clock was set back.
    await context.store.make_due(context.name, 0.0, context.wall())
    unchanged = stored is None or is_digest_of(stored, context.settings)
    if unchanged:
        now = context.wall()
        ends_at = await context.store.retry_after_ends_at(context.name, now)
        if ends_at is not None and (left := ends_at - now) > 0:
            cooldown.start(min(left, MAX_RETRY_AFTER))
    else:
        await health.settings_changed()
    if stored is None or not unchanged:
        await context.store.store_target(context.name, new_digest(context.settings))
    return not unchanged
