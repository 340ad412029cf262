"""What people see in Slack, from the running daemon."""

import json

import pytest

from tests.acceptance.daemon import Site, add
from tests.support.slack_limits import assert_valid, every_text
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio


def channel_of(site: Site) -> str:
    """Return the channels of a daemon that posts to the site's receiver."""
    url = site.hook.replace("/hook", "/slack")
    return json.dumps([{"name": "alerts", "type": "slack", "url": url, "mention": "<!here>"}])


def shown(site: Site) -> list[str]:
    """Return the first line of each message in Slack."""
    for message in site.receiver.slack:
        content = {name: message[name] for name in ("text", "blocks", "attachments")}
        assert_valid(content)
        assert (message["unfurl_links"], message["unfurl_media"]) == (False, False)
    return [every_text(message["blocks"])[0] for message in site.receiver.slack]


async def test_a_failure_is_shown_and_a_replay_says_that_it_is_sent_again(site: Site) -> None:
    site.upstream.set("task_1", "FAILED", error_message="CUDA out of memory")
    async with site.daemon(WATCHER_CHANNELS=channel_of(site), WATCHER_ROUTES="[]") as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: len(site.receiver.slack) == 1)
        replayed = await site.command(daemon, "replay", "--channel", "alerts", "--since", "1h")
        assert replayed.returncode == 0, replayed.stderr
        await site.until(lambda: len(site.receiver.slack) == 2)

    assert shown(site) == [
        "<!here> ❌ *Task failed*: `task_1`",
        "❌ *Task failed*: `task_1` — _sent again_",
    ]
    assert "```CUDA out of memory```" in every_text(site.receiver.slack[0]["attachments"])


async def test_an_outage_is_shown_with_its_http_status(
    site: Site,
) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    sources = json.dumps([{"requests_per_minute": None, "unreachable_after": "1s"}])
    async with site.daemon(
        WATCHER_CHANNELS=channel_of(site), WATCHER_ROUTES="[]", WATCHER_SOURCES=sources
    ) as daemon:
        await add(daemon, "task_1")
        site.upstream.fault = answers(503, "upstream connect error")
        await site.until(lambda: len(site.receiver.slack) == 1)

    assert shown(site) == ["<!here> 🔌 *Source unreachable*: `mixpeek`"]
    error, line, command = every_text(site.receiver.slack[0]["attachments"])
    assert "503" in error
    assert line.startswith("`unavailable` · HTTP 503 · since <!date^")
    assert line.endswith(" · 1 active watch")
    assert command == "`watcher status`"
