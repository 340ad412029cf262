"""What this process serves of what its settings name: all of it, or its share in a fleet."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from watcher.core.deliveries import OutboxDepth
from watcher.core.ownership import channel_group, source_group
from watcher.core.settings import Settings


class Served(Protocol):
    """A group is `source NAME` or `channel NAME`; see `watcher.core.ownership`."""

    def tenure(self, group: str) -> int | None:
        """Return since which takeover this process serves (a slice of) a group; None if it does
        not. A unit that served it in another tenure has to start again.
        """
        ...

    def slots(self, group: str) -> frozenset[int] | None:
        """Return the slots of the group that this process serves; None for all of them."""
        ...

    def leads(self, group: str) -> bool:
        """Return whether this process does what is done once for a group, such as discovery."""
        ...

    def trusted(self, group: str) -> bool:
        """Return whether this process may still send requests for the group now."""
        ...


class Everything:
    """The one process of a store that is not shared. Implements `Served`."""

    def tenure(self, group: str) -> int | None:
        return 0

    def slots(self, group: str) -> frozenset[int] | None:
        return None

    def leads(self, group: str) -> bool:
        return True

    def trusted(self, group: str) -> bool:
        return True


def shown_depths(
    depths: Iterable[OutboxDepth], running: Iterable[str], settings: Settings, served: Served
) -> Mapping[str, OutboxDepth]:
    """Return the depths that the metrics of this process show, by channel.

    Those of a shared store are shown by one replica, the leader of the channel; of a channel that
    is not configured, by that of the first source. So an alert about them is one alert, and a sum
    over the replicas is right. A leader that may not trust its session shows none: another replica
    may lead by now. Channels that are `running` here are shown in any case, as empty.
    """
    configured = {channel.name for channel in settings.channels}
    first = source_group(settings.sources[0].name)
    shown = {channel: OutboxDepth.empty(channel) for channel in running}
    for depth in depths:
        group = channel_group(depth.channel) if depth.channel in configured else first
        if served.leads(group) and served.trusted(group):
            shown[depth.channel] = depth
    return shown
