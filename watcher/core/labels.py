"""The labels of a watch: how many there are and how long, wherever they come from."""

from collections.abc import Mapping

MOST = 20
"""Labels of one watch."""
NAME_LENGTH = 64
VALUE_LENGTH = 256
"""Characters."""


def merged(labels: Mapping[str, str], further: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return both, of which `further` wins; None if these would be too many for a watch."""
    both = {**labels, **further}
    return both if len(both) <= max(MOST, len(labels)) else None
