"""The commands."""

import sys

# httpx would import its own command line, with rich: half of what a short command takes.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
