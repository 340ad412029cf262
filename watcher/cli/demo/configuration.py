"""The configuration of the demo: one source, a webhook and a Slack channel, with default routes."""

import json
from pathlib import Path

from watcher.configuration import loader
from watcher.core.settings import Settings

API_KEY = "sk_made_up"
_LINKS = {
    "Task": "https://console.example/tasks/{task_id}",
    "Runbook": "https://wiki.example/batches",
}


def demo_settings(upstream: str, receiver: str, secret: str, database: Path) -> Settings:
    """Load the settings as a user would set them, through environment variables.

    `upstream` and `receiver` are base URLs; the receiver verifies webhooks with `secret`.
    """
    source = {"base_url": upstream, "api_key": API_KEY, "requests_per_minute": None}
    webhook = {
        "name": "backend",
        "type": "webhook",
        "url": f"{receiver}/hook",
        "secrets": [secret],
    }
    slack = {
        "name": "alerts",
        "type": "slack",
        "url": f"{receiver}/slack",
        "mention": "<!here>",
        "links": _LINKS,
    }
    variables = {
        "WATCHER_SOURCES": json.dumps([source]),
        "WATCHER_CHANNELS": json.dumps([webhook, slack]),
        "WATCHER_POLLING__MAX_INTERVAL": "2s",
        "WATCHER_SERVER__PORT": "0",
        "WATCHER_STORE__URL": f"sqlite:///{database}",
    }
    return loader.load(None, variables)
