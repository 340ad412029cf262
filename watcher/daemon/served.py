"""What this process serves of what its settings name: all of it, or its share in a fleet."""

from typing import Protocol


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
