"""What operators do with configured channels, wherever they are served."""

from collections.abc import Callable

from watcher.core.settings import Settings
from watcher.daemon import build, elsewhere
from watcher.daemon.build import Shared
from watcher.daemon.running import RunningUnits
from watcher.delivery.channel_check import ChannelCheck


class ChannelControl:
    """Acts on the unit of a channel, or on the store where another replica has the unit.

    `settings` returns the effective settings. Methods that store may raise `StoreError`.
    """

    def __init__(
        self, shared: Shared, units: RunningUnits, settings: Callable[[], Settings]
    ) -> None:
        self._shared = shared
        self._units = units
        self._settings = settings

    async def pause(self, channel: str, reason: str) -> None:
        """Send nothing to a configured channel until it is resumed."""
        if unit := self._units.channels.get(channel):
            await unit.dispatcher.pause(reason)
        else:
            now = self._shared.surroundings.wall()
            await elsewhere.pause(self._shared.store, channel, reason, now)

    async def resume(self, channel: str) -> None:
        """Send to a configured channel again."""
        if unit := self._units.channels.get(channel):
            await unit.dispatcher.resume()
        else:
            await self._shared.store.lift_suspension(channel)

    async def test(self, channel: str, kind: str) -> ChannelCheck:
        """Send an example event to a configured channel, once, beside what it delivers."""
        (settings,) = (one for one in self._settings().channels if one.name == channel)
        return await build.test_channel(settings, self._shared, kind)

    def attempt_all(self, channel: str) -> None:
        """Attempt a channel's pending deliveries now, if it is configured."""
        if unit := self._units.channels.get(channel):
            unit.dispatcher.attempt_all()
