"""Which channels would receive an event, by the daemon's routes."""

from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import opened, problem

pytestmark = pytest.mark.anyio
PATH = "/v1/routes/test"
ROUTES = """[
    {"channels": ["backend"], "events": ["task.failed"], "labels": {"team": "search"}},
    {"channels": ["backend"], "events": ["channel.*"]}
]"""


@pytest.mark.parametrize(
    ("event", "channels", "reasons"),
    [
        (
            {"status": "FAILED", "labels": {"team": "search"}},
            ["backend"],
            [None, "task.failed matches none of its events"],
        ),
        (
            {"status": "FAILED"},
            [],
            ["the label team is not search", "task.failed matches none of its events"],
        ),
        (
            {"event": "channel.failing"},
            ["backend"],
            ["channel.failing matches none of its events", None],
        ),
    ],
)
async def test_each_route_says_why_it_does_not_match(
    event: dict[str, Any], channels: list[str], reasons: list[str | None], tmp_path: Path
) -> None:
    async with opened(tmp_path, WATCHER_ROUTES=ROUTES) as (_, api):
        shown = (await api.post(PATH, json=event)).json()
    assert shown["channels"] == channels
    assert [route["not"] for route in shown["routes"]] == reasons


@pytest.mark.parametrize(
    "event", [{}, {"status": "FAILED", "event": "task.failed"}, {"status": ""}, {"x": 1}]
)
async def test_an_event_has_either_a_status_or_a_type(
    event: dict[str, Any], tmp_path: Path
) -> None:
    async with opened(tmp_path) as (_, api):
        problem(await api.post(PATH, json=event), 422)
