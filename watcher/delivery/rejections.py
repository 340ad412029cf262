"""Whether a channel rejects everything rather than one payload. Pure."""

REJECTS_EVERYTHING = 3
"""Queues (tasks, sources, channels) whose events were rejected in a row, without a success."""


class Rejections:
    """Rejections since the last success. One task's payloads may all be invalid, so each queue
    counts once.
    """

    def __init__(self) -> None:
        self._order_keys: set[str] = set()

    @property
    def of_everything(self) -> bool:
        """Whether the channel, not a payload, is wrong."""
        return len(self._order_keys) >= REJECTS_EVERYTHING

    def rejected(self, order_key: str) -> None:
        """Note that a payload was rejected."""
        if not self.of_everything:
            self._order_keys.add(order_key)

    def reset(self) -> None:
        """Note a success."""
        self._order_keys.clear()
