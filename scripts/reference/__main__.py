"""Write the reference pages in docs/, and the JSON Schema of the events, from the code.

`python -m scripts.reference` writes them; with `--check` it fails if one differs from the code.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.reference.channel_states import channel_states
from scripts.reference.command_line import command_line
from scripts.reference.configuration import configuration
from scripts.reference.events import events
from scripts.reference.http_api import http_api
from scripts.reference.manual_page import manual_page
from scripts.reference.metrics import metrics
from watcher.core.event_schema import json_schema

ROOT = Path(__file__).parents[2]


def event_schema() -> str:
    return json.dumps(json_schema(), indent=2) + "\n"


FILES: dict[str, Callable[[], str]] = {
    "docs/channel-states.md": channel_states,
    "docs/configuration.md": configuration,
    "docs/command-line.md": command_line,
    "docs/events.md": events,
    "docs/http-api.md": http_api,
    "docs/metrics.md": metrics,
    "watcher/schemas/events.json": event_schema,
    "docs/watcher.1": manual_page,
}


def main() -> str | None:
    """Write the files, or with `--check` return which of them are stale."""
    files = {ROOT / name: write() for name, write in FILES.items()}
    if sys.argv[1:] != ["--check"]:
        for path, text in files.items():
            path.write_text(text)
        return None
    stale = [
        path.name for path, text in files.items() if not path.exists() or path.read_text() != text
    ]
    return f"{', '.join(stale)} stale: run python -m scripts.reference" if stale else None


if __name__ == "__main__":
    sys.exit(main())
