"""One channel of a scenario, with its receiver and its rules."""

from pathlib import Path

from tests.delivery.ordering.database import Database
from tests.delivery.ordering.receiver import ACCEPTS, Arrival, Receiver
from tests.delivery.ordering.rules import ALERT_AFTER, Rules
from tests.support.records import SECRET
from watcher.channels import webhook
from watcher.core.clock import Clock

ATTEMPTS = (0.0, 5.0, 30.0, 120.0, 300.0, 1800.0)


class Endpoint:
    """One channel of a scenario: its receiver, its settings, and what has to hold of it."""

    def __init__(self, name: str, path: Path, wall: Clock) -> None:
        self.name = name
        self.wall = wall
        self.database = Database(path, name)
        self.rules = Rules(self.database)
        self.receiver = CheckedReceiver(wall=wall, rules=self.rules)
        self.settings = settings_with(name, concurrency=8, order_wait=600.0)

    def starts(self, settings: webhook.Settings) -> None:
        """Note that a dispatcher starts with these settings."""
        self.rules.starts(settings.order_wait, kept=settings == self.settings)
        self.settings = settings

    def heal(self) -> None:
        """Let the receiver accept everything."""
        self.receiver.cycle, self.receiver.latency = (ACCEPTS,), 0.0
        self.receiver.rejecting.clear()
        self.rules.disk(full=False)


class CheckedReceiver(Receiver):
    """A receiver whose requests are checked."""

    def __init__(self, *, wall: Clock, rules: Rules) -> None:
        super().__init__(wall=wall)
        self._rules = rules

    def begins(self, arrival: Arrival) -> None:
        self._rules.begins(arrival)

    def ends(self, arrival: Arrival) -> None:
        self._rules.ends(arrival)


def settings_with(name: str, *, concurrency: int, order_wait: float) -> webhook.Settings:
    return webhook.Settings(
        name=name,
        url="https://backend.example/hook",
        secrets=[SECRET],
        timeout=5.0,
        attempts=ATTEMPTS,
        alert_after=ALERT_AFTER,
        concurrency=concurrency,
        order_wait=order_wait,
    )
