"""Write the reference pages in docs/ from the code.

`python -m scripts.reference` writes them; with `--check` it fails if one differs from the code.
"""

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

DOCS = Path(__file__).parents[2] / "docs"
PAGES: dict[str, Callable[[], str]] = {
    "channel-states.md": channel_states,
    "configuration.md": configuration,
    "command-line.md": command_line,
    "events.md": events,
    "http-api.md": http_api,
    "metrics.md": metrics,
    "watcher.1": manual_page,
}


def main() -> str | None:
    """Write the pages, or with `--check` return which of them are stale."""
    pages = {DOCS / name: write() for name, write in PAGES.items()}
    if sys.argv[1:] != ["--check"]:
        for path, text in pages.items():
            path.write_text(text)
        return None
    stale = [
        path.name for path, text in pages.items() if not path.exists() or path.read_text() != text
    ]
    return f"{', '.join(stale)} stale: run python -m scripts.reference" if stale else None


if __name__ == "__main__":
    sys.exit(main())
