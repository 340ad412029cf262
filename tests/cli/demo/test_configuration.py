"""The settings of the demo."""

from pathlib import Path

from tests.support.records import SECRET
from watcher.cli.demo.configuration import demo_settings
from watcher.core.routing import Routing, RoutingContext


def test_the_webhook_receives_everything_and_slack_what_needs_attention(tmp_path: Path) -> None:
    settings = demo_settings(
        "http://127.0.0.1:1", "http://127.0.0.1:2", SECRET, tmp_path / "watcher.db"
    )
    names = [channel.name for channel in settings.channels]
    routing = Routing(settings.effective_routes, names)
    assert names == ["backend", "alerts"]
    assert str(settings.store.url) == f"sqlite:///{tmp_path}/watcher.db"
    assert settings.server.port == 0
    failed = RoutingContext(type="task.failed", previous_status="IN_PROGRESS")
    assert routing.channels(failed) == ("backend", "alerts")
    canceled = RoutingContext(type="task.canceled", previous_status="IN_PROGRESS")
    assert routing.channels(canceled) == ("backend", "alerts")
    running = RoutingContext(type="task.in_progress", previous_status="PENDING")
    assert routing.channels(running) == ("backend",)
    assert routing.channels(RoutingContext(type="task.pending", silent=True)) == ()
    assert settings.routes == ()
