"""Channels and sources that another replica serves, as the store shows them."""

from typing import Protocol

from watcher.core.channels import ChannelState, Suspension, SuspensionKind
from watcher.core.interfaces.store import ChannelStates, EventLog
from watcher.core.settings import ChannelSettings


class StatesStore(ChannelStates, EventLog, Protocol):
    """The part of the store that is used here."""


async def channel_state(store: StatesStore, channel: ChannelSettings) -> ChannelState:
    """Return the state of a channel. Raises `StoreError`."""
    for suspension in await store.suspensions():
        if suspension.channel == channel.name:
            return ChannelState(
                name=channel.name,
                type=channel.type,
                state=suspension.kind,
                reason=suspension.reason,
                since=suspension.since,
            )
    outage = await store.outage(f"channel {channel.name}")
    return ChannelState(
        name=channel.name,
        type=channel.type,
        state="running" if outage is None else "failing",
        since=None if outage is None else outage.since,
    )


async def pause(store: ChannelStates, channel: str, reason: str, now: float) -> None:
    """Pause a channel; the replica that serves it follows. Raises `StoreError`."""
    suspension = Suspension(channel=channel, kind=SuspensionKind.PAUSED, reason=reason, since=now)
    await store.suspend(suspension, None, None)
