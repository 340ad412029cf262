"""What commands print."""

from typing import Any

import pytest

from watcher.cli.terminal import cancellation


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({}, "upstream did not report whether jobs were canceled"),
        ({"cancellation": None}, "upstream did not report whether jobs were canceled"),
        (
            {
                "cancellation": {
                    "ray_jobs_requested": 2,
                    "ray_jobs_accepted": 1,
                    "ray_jobs_refused": 1,
                }
            },
            "2 cancellations requested, 1 accepted, 1 rejected: work may still be running",
        ),
        (
            {"cancellation": {"ray_jobs_requested": 2, "ray_jobs_refused": None}},
            "2 cancellations requested, 0 accepted, 0 rejected",
        ),
    ],
)
def test_the_outcome_of_a_cancellation_is_printed_in_words(
    answer: dict[str, Any], text: str
) -> None:
    assert cancellation(answer) == text
