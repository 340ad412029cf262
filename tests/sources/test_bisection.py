"""Which IDs are at fault, in how many requests."""

import pytest

from watcher.core.errors import SourceError, SourceFailure
from watcher.sources.mixpeek.bisection import Bisection
from watcher.sources.mixpeek.page_limit import PageLimit

ERROR = SourceError(SourceFailure.REJECTED, "HTTP 422")


@pytest.mark.parametrize(
    ("ids", "bad", "requests"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("a", "a", 2),
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
    limit = PageLimit(lambda: 0.0)
    bisection = Bisection([*ids], limit)
    accepted: list[str] = []
    count = 0
    while part := bisection.next_part():
        count += 1
        if set(part.ids) & set(bad):
            bisection.failed(part, ERROR, set(ids))
        else:
            accepted += part.ids
            bisection.answered(part, [])

    assert sorted(accepted) == [task_id for task_id in ids if task_id not in bad]
    assert limit.fails is None
    assert bisection.rejected == dict.fromkeys(bad, ERROR)
    assert count == requests
