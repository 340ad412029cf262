"""What upstream says about the cancellation of a batch, in words. Pure."""

from collections.abc import Mapping
from typing import Any


def cancellation(response: Mapping[str, Any]) -> str:
    """Describe the `cancellation` of a canceled batch; without it, the result is unknown, not 0."""
    counts = response.get("cancellation")
    if not isinstance(counts, Mapping):
        return "upstream did not report whether jobs were canceled"
    requested, accepted, rejected = (
        _total(counts, outcome) for outcome in ("requested", "accepted", "refused")
    )
    text = f"{requested} cancellations requested, {accepted} accepted, {rejected} rejected"
    return f"{text}: work may still be running" if rejected else text


def _total(counts: Mapping[str, Any], outcome: str) -> int:
    """Return the sum of the counts of every kind of job, which are named `<kind>_<outcome>`."""
    return sum(
        count
        for name, count in counts.items()
        if name.endswith(f"_{outcome}") and isinstance(count, int)
    )
