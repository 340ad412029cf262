"""Wrong tokens are limited by peer, and what ends or removes work is logged with it."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.harness import opened, outbox_of_two, problem
from tests.support.records import KEY
from watcher.api.app import create_api
from watcher.api.attempts import FREE_ATTEMPTS, INTERVAL, MOST_PEERS, TokenAttempts
from watcher.api.clients import group_of
from watcher.core.log_fields import ABOUT

pytestmark = pytest.mark.anyio

TOKEN = "made-up-api-token"
RIGHT = {"authorization": f"Bearer {TOKEN}"}
WRONG = {"authorization": "Bearer wrong"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# Attempts


@given(st.lists(st.floats(0, 60), max_size=80))
def test_no_span_of_time_holds_more_wrong_tokens_than_the_limit(pauses: list[float]) -> None:
    clock = Clock()
    attempts = TokenAttempts(clock)
    within: list[float] = []
    for pause in pauses:
        clock.now += pause
        if (wait := attempts.wrong("a")) is None:
            within.append(clock.now)
        else:
            assert 1 <= wait <= INTERVAL
    for first, begin in enumerate(within):
        for last, end in enumerate(within[first:], first):
            assert last - first + 1 <= FREE_ATTEMPTS + (end - begin) / INTERVAL + 1e-6


def test_a_peer_that_waits_as_long_as_it_should_has_one_attempt() -> None:
    clock = Clock()
    attempts = TokenAttempts(clock)
    assert [attempts.wrong("a") for _ in range(FREE_ATTEMPTS + 1)] == [None] * FREE_ATTEMPTS + [5]
    assert attempts.wrong("b") is None
    clock.now += 5
    assert [attempts.wrong("a"), attempts.wrong("a")] == [None, 5]


def test_the_memory_of_peers_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    attempts = TokenAttempts(Clock())
    for number in range(3 * MOST_PEERS):
        for _ in range(FREE_ATTEMPTS + 1):
            attempts.wrong(str(number))
    assert len(attempts._full_again_at) == MOST_PEERS  # nothing else shows it
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("uid 1000, pid 1", "uid 1000, pid 2", True),
        ("uid 1000, pid 1", "uid 1001, pid 1", False),
    ],
)
def test_which_addresses_are_one_peer(one: str, other: str, same: bool) -> None:
    assert (group_of(one) == group_of(other)) is same


async def test_wrong_tokens_are_limited_and_the_right_one_still_works(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN=TOKEN) as (daemon, api):
        for _ in range(2 * FREE_ATTEMPTS):  # a request without a token guesses nothing
            problem(await api.get("/v1/watches"), 401)
        for _ in range(FREE_ATTEMPTS):
            problem(await api.get("/v1/watches", headers=WRONG), 401)
        limited = await api.get("/v1/watches", headers=WRONG)
        problem(limited, 429)
        assert limited.headers["retry-after"] == "5"
        assert (await api.get("/v1/watches", headers=RIGHT)).status_code == 200
        problem(await api.get("/v1/watches", headers=WRONG), 429)
        transport = httpx.ASGITransport(create_api(daemon), client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as other:
            problem(await other.get("/v1/watches", headers=WRONG), 401)


# The log


async def test_what_ends_or_removes_work_is_logged_with_the_peer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "watcher.api.peers")
    async with opened(tmp_path) as (daemon, api):
        await outbox_of_two(daemon, api)
        channel = "/v1/channels/backend"
        for path, body in (
            (f"{channel}/pause", {"reason": "a\nforged line"}),
            (f"{channel}/resume", None),
            (f"{channel}/replay", {"since": "2020-01-01T00:00:00Z"}),
            (f"{channel}/purge", {"state": "failed"}),
            ("/v1/channels/other%0Aname/purge", {"state": "failed"}),
            ("/v1/deliveries/2/retry", None),
        ):
            assert (await api.post(path, json=body)).is_success
        assert (await api.delete(f"/v1/watches/{KEY.task_id}")).is_success
        problem(await api.post("/v1/channels/unknown/pause", json={}), 404)
    assert [record.message for record in caplog.records] == [
        r"127.0.0.1 paused channel 'backend': 'a\nforged line'",
        "127.0.0.1 resumed channel 'backend'",
        "127.0.0.1 replayed 0 events to channel 'backend'",
        "127.0.0.1 purged 1 failed deliveries of channel 'backend'",
        r"127.0.0.1 purged 0 failed deliveries of channel 'other\nname'",
        "127.0.0.1 retried delivery 2 to channel 'backend'",
        f"127.0.0.1 removed task {KEY.task_id!r} of source 'mixpeek'",
    ]
    fields = [getattr(record, ABOUT) for record in caplog.records]
    assert {one["peer"] for one in fields} == {"127.0.0.1"}
    assert [one.get("channel") for one in fields[:6]] == [
        *["backend"] * 4,
        "other\nname",
        "backend",
    ]
    assert fields[5]["delivery_id"] == 2
    assert (fields[6]["source"], fields[6]["task_id"]) == KEY
