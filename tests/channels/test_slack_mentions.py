"""A storm of failures mentions people once."""

import json
from typing import Any

import anyio
import httpx
import pytest

from tests.support.virtual_time import VirtualLoop, wall
from watcher.channels.slack import channel as slack
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

MINUTE = 60.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Slack:
    """Accepts messages, but for those numbered `fails`; notes whether each mentions someone."""

    def __init__(self, *fails: int) -> None:
        self._fails = fails
        self.mentions: list[bool] = []
        settings = slack.Settings(
            name="alerts", url="https://hooks.slack.example/x", mention="<!here>"
        )
        self.channel = slack.create(
            settings, transport=httpx.MockTransport(self), notes=InMemoryNotes(), wall=wall
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        first = content["blocks"][0]["text"]["text"]
        assert first.startswith("<!here> ") == content["text"].startswith("<!here> ")
        self.mentions.append(first.startswith("<!here> "))
        is_rejected = len(self.mentions) - 1 in self._fails
        return httpx.Response(503 if is_rejected else 200, text="" if is_rejected else "ok")

    async def send(self, kind: str = "task.failed") -> None:
        await self.channel.send(Message(event_id="msg_1", type=kind, body=b"{}"))


async def test_each_storm_mentions_once() -> None:
    receiver = Slack()
    for _ in range(6):
        await receiver.send()
        await anyio.sleep(5 * MINUTE)
    await anyio.sleep(5 * MINUTE)
    await receiver.send()
    await receiver.send()
    assert receiver.mentions == [True, False, False, False, False, False, True, False]


async def test_a_storm_that_does_not_end_mentions_once_an_hour() -> None:
    receiver = Slack()
    for _ in range(24):
        await receiver.send()
        await anyio.sleep(5 * MINUTE)
    assert [number for number, mentioned in enumerate(receiver.mentions) if mentioned] == [0, 12]


async def test_tasks_sources_and_channels_are_storms_of_their_own() -> None:
    receiver = Slack()
    for kind in ("task.failed", "source.unreachable", "task.lost", "source.unreachable"):
        await receiver.send(kind)
    assert receiver.mentions == [True, True, False, False]


async def test_other_events_neither_mention_nor_keep_a_storm_going() -> None:
    receiver = Slack()
    for kind in ("task.canceled", "task.failed"):
        await receiver.send(kind)
    for _ in range(2):
        await anyio.sleep(6 * MINUTE)
        await receiver.send("task.completed")
    await receiver.send()
    assert receiver.mentions == [False, True, False, False, True]


async def test_a_message_that_cannot_be_sent_has_not_mentioned_anyone() -> None:
    receiver = Slack(0)
    with pytest.raises(DeliveryError):
        await receiver.send()
    await receiver.send()
    await receiver.send()
    assert receiver.mentions == [True, True, False]
