"""`watcher channels`: against the real API, and test messages to a real receiver."""

import json
import os
from collections.abc import Iterator

import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from tests.cli.harness import Harness, run
from tests.support.records import SECRET
from watcher.testing.receiver import Receiver


def test_channels_are_listed_paused_and_resumed(harness: Harness) -> None:
    header, channel = harness.run("channels", "ls").rows
    assert header == ["NAME", "TYPE", "STATE", "SINCE", "REASON", "PENDING", "FAILED"]
    assert channel == ["backend", "webhook", "running", "-", "-", "0", "0"]
    assert harness.lines("channels", "pause", "backend", "--reason", "migration") == [
        "paused; 0 deliveries pending"
    ]
    (channel_view,) = json.loads(harness.run("channels", "ls", "--json").stdout)
    assert (channel_view["state"], channel_view["reason"]) == ("paused", "migration")
    assert harness.lines("channels", "resume", "backend") == ["resumed; 0 deliveries are sent now"]
    unknown = harness.run("channels", "pause", "other")
    assert (unknown.exit_code, "unknown channel 'other'" in unknown.stderr) == (4, True)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The receiver of the configured channel `webhook`."""
    receiver = Receiver(SECRET)
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(receiver.serve()) as url,
    ):
        monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
        monkeypatch.setenv("WATCHER_WEBHOOK_URL", f"{url}/hook")
        monkeypatch.setenv("WATCHER_WEBHOOK_SECRETS", SECRET)
        yield receiver


def test_a_test_message_is_signed_like_a_delivery(receiver: Receiver) -> None:
    finished = run("channels", "test")
    assert (finished.exit_code, finished.stdout) == (0, "webhook: ok: HTTP 204\n")
    (received,) = receiver.received
    assert (received.event["type"], received.verified) == ("watcher.test", True)


@pytest.mark.usefixtures("receiver")
def test_a_failed_test_message_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_WEBHOOK_URL", "http://127.0.0.1:9/hidden")
    finished = run("channels", "test", "webhook")
    assert (finished.exit_code, finished.stdout) == (1, "webhook: failed: connection refused\n")


@pytest.mark.parametrize("answer", ["<html>Sign in to the proxy", "{}", ""])
def test_a_200_that_is_not_slacks_fails_the_test(
    answer: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    receiver.fault = page
    monkeypatch.setenv("WATCHER_SLACK_URL", os.environ["WATCHER_WEBHOOK_URL"][:-5] + "/slack")
    finished = run("channels", "test", "slack")
    assert finished.exit_code == 1
    assert finished.stdout.startswith("slack: failed: HTTP 200: not an answer of Slack")


@pytest.mark.usefixtures("receiver")
def test_an_unknown_channel_lists_the_known_ones() -> None:
    finished = run("channels", "test", "other", "webhook")
    assert finished.exit_code == 2
    assert finished.stderr == "watcher: unknown channel other; expected one of: webhook\n"


def test_a_configuration_without_channels_has_none_to_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
    finished = run("channels", "test")
    assert (finished.exit_code, finished.stderr) == (
        2,
        "watcher: the configuration has no channel\n",
    )


def test_the_daemon_sends_the_test_message(harness: Harness) -> None:
    assert harness.lines("channels", "test") == ["backend: ok: HTTP 204"]
    unknown = harness.run("channels", "test", "other")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "watcher: unknown channel other; expected one of: backend\n",
    )


def test_a_daemon_that_rejects_the_token_is_not_passed_over(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHER_API_TOKEN")
    assert harness.run("channels", "test").exit_code == 4


def test_an_example_has_the_type_that_was_chosen(receiver: Receiver) -> None:
    finished = run("channels", "test", "--offline", "--type", "task.failed")
    assert (finished.exit_code, finished.stdout) == (0, "webhook: ok: HTTP 204\n")
    (received,) = receiver.received
    assert (received.event["type"], received.verified) == ("task.failed", True)
    assert received.event["data"]["labels"] == {"example": "yes"}


@pytest.mark.usefixtures("receiver")
def test_a_type_that_there_is_none_of_is_a_usage_error() -> None:
    finished = run("channels", "test", "--type", "task.faild")
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert "did you mean 'task.failed'?" in finished.stderr


def test_offline_needs_no_daemon_even_where_one_runs(harness: Harness, receiver: Receiver) -> None:
    assert harness.run("channels", "test", "--offline").stdout == "webhook: ok: HTTP 204\n"
    assert len(receiver.received) == 1
