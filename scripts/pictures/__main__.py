"""Write the pictures of Slack messages in docs/ from what the channel sends.

`python -m scripts.pictures` writes them; with `--check` it fails if one differs.
"""

import sys
from pathlib import Path

from scripts.pictures.drawing import drawing
from scripts.pictures.payloads import shots

DOCS = Path(__file__).parents[2] / "docs"
TITLES = {
    "failure": "A failed task",
    "partial": "A partial success",
    "stalled": "A stalled task",
    "again": "A failure that is late, and sent again",
    "digest": "A digest of 38 failures",
    "outage": "An outage of the API, and its end in the thread",
    "channel": "A failing channel",
    "batch": "A batch, with its failures in the thread",
}


def pictures() -> dict[Path, str]:
    """Return the SVG of each picture by its path."""
    return {
        DOCS / f"slack-{name}.svg": drawing(TITLES[name], messages)
        for name, messages in shots().items()
    }


def main() -> str | None:
    """Write the pictures, or with `--check` return which of them are stale."""
    drawn = pictures()
    if sys.argv[1:] != ["--check"]:
        for path, svg in drawn.items():
            path.write_text(svg)
        return None
    stale = [
        path.name for path, svg in drawn.items() if not path.exists() or path.read_text() != svg
    ]
    return f"{', '.join(stale)} stale: run python -m scripts.pictures" if stale else None


if __name__ == "__main__":
    sys.exit(main())
