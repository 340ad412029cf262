"""The contract of a channel, and what it may store."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from watcher.core.deliveries import Message, Receipt


class Channel(Protocol):
    """A destination of events. It makes single attempts; the dispatcher schedules retries."""

    async def send(self, message: Message) -> Receipt:
        """Send `message` once, and return after the receiver has accepted it.

        Any other outcome raises `DeliveryError`, whose `disposition` decides about retries. The
        implementation follows no redirect, enforces its own deadline, reads a limited part of the
        response, and keeps secrets out of error texts. It may be called again with the same
        message, and concurrently with different ones.
        """
        ...


@runtime_checkable
class Digesting(Protocol):
    """A channel that can combine several events in one message.

    `digest_most` is the maximum number of events in one.
    """

    digest_most: int

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        """Return which of the `waiting` messages to send next as one.

        The result holds their indexes in ascending order, starting with 0. A single message is
        sent with `send`.
        """
        ...

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        """Send one message that names or counts all of `messages`; see `Channel.send`."""
        ...


@runtime_checkable
class Linking(Protocol):
    """A channel whose messages can link to the watcher's pages."""

    def link_to(self, pages: str) -> None:
        """Link from now on to the pages at this URL, which has no slash at its end."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A channel that holds something to release, such as a process."""

    async def aclose(self) -> None:
        """Release it; nothing is being sent."""
        ...


class Notes(Protocol):
    """A channel's persistent state, by names of its own choice."""

    async def read(self, name: str) -> bytes | None:
        """Return the last value written; None without one. Raises `StoreError`."""
        ...

    async def write(self, name: str, value: bytes) -> None:
        """Store `value` for the retention time, replacing the previous one. Raises `StoreError`."""
        ...
