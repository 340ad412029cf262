"""Which IDs are at fault, in how many requests."""

import pytest

from watcher.core.errors import SourceError, SourceFailure
from watcher.sources.mixpeek.bisection import Bisection

ERROR = SourceError(SourceFailure.REJECTED, "HTTP 422")


@pytest.mark.parametrize(
    ("ids", "bad", "requests"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("a", "a", 1),
        ("abcdefgh", "", 1),
        ("abcdefgh", "a", 7),
        ("abcdefgh", "h", 7),
        ("abcdefgh", "ah", 11),
        ("abc", "abc", 5),
    ],
)
def test_rejected_ids_are_isolated_and_all_others_requested_once(
    ids: str, bad: str, requests: int
) -> None:
    bisection = Bisection([*ids])
    accepted: list[str] = []
    count = 0
    while chunk := bisection.next_chunk():
        count += 1
        if set(chunk) & set(bad):
            bisection.split(chunk, ERROR)
        else:
            accepted += chunk

    assert accepted == [task_id for task_id in ids if task_id not in bad]
    assert bisection.rejected == dict.fromkeys(bad, ERROR)
    assert count == requests
