"""What a channel must promise, and what it may remember."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from watcher.core.deliveries import Message, Receipt


class Channel(Protocol):
    """A place events go. It makes one attempt; when to try again is the dispatcher's."""

    async def send(self, message: Message) -> Receipt:
        """Send `message` once and return that the receiver took it.

        Whatever else happened is a `DeliveryError` that says whether waiting may help. Follows no
        redirect, ends by its own deadline, keeps what it read of the answer small, and lets no
        secret into an error's text. May be called again with the same message, and for different
        messages at once.
        """
        ...


@runtime_checkable
class Digesting(Protocol):
    """A channel that can also tell several events in one message, so that a storm is not a queue of
    a thousand.

    `digest_most` is how many one may tell.
    """

    digest_most: int

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        """Return which of the `waiting` messages go next in one, by their positions in growing
        order, 0 among them.

        One alone goes by `send`.
        """
        ...

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        """Send one message that tells all of `messages`, each by its name or counted; otherwise
        like `Channel.send`.
        """
        ...


class Notes(Protocol):
    """What a channel has to remember over restarts, by names of its own."""

    async def read(self, name: str) -> bytes | None:
        """Return what was written last, None where nothing was. Raises `StoreError`."""
        ...

    async def write(self, name: str, value: bytes) -> None:
        """Keep `value` in the place of what there was, for as long as the retention. Raises
        `StoreError`.
        """
        ...
