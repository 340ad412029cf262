"""A 2xx status line is a delivery, whatever follows it: over real sockets, through the channel."""

from collections import Counter

import anyio
import pytest

from tests.support.accepting_answers import ANSWERS, Receivers
from tests.support.raw_server import server
from tests.support.records import SECRET
from watcher.channels import webhook
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport

pytestmark = pytest.mark.anyio

FREE_WITHIN = 1.0
"""Seconds after a complete status line until the next event may be sent."""
_BUSY = 3.0
"""Seconds that a machine with other work adds; a `timeout` of 15 s is far from both."""


async def test_each_is_delivered_once_and_its_sender_is_free_soon() -> None:
    receivers, outcomes, took = Receivers(), dict[str, object](), dict[str, float]()

    async with server(receivers.serve) as url:
        settings = webhook.Settings(name="x", url=url, secrets=[SECRET], concurrency=len(ANSWERS))
        async with channel_transport(settings) as transport, anyio.create_task_group() as tasks:

            async def deliver(name: str, path: int) -> None:
                own = webhook.Settings(name="x", url=f"{url}{path}", secrets=[SECRET])
                channel = webhook.create(
                    own, transport=transport, notes=InMemoryNotes(), wall=lambda: 1614265330.9
                )
                message = Message(event_id="msg_1", type="t", body=b"{}")
                try:
                    outcomes[name] = (await channel.send(message)).status
                except DeliveryError as error:
                    outcomes[name] = error
                took[name] = anyio.current_time() - receivers.answered_at[name]

            for path, name in enumerate(ANSWERS):
                tasks.start_soon(deliver, name, path)

    accepted = {"no reason": 202, "an unknown status": 299}
    accepted |= dict.fromkeys(("204 with a body", "204 that stays open"), 204)
    assert outcomes == {name: accepted.get(name, 200) for name in ANSWERS}
    assert receivers.requests == Counter(ANSWERS.keys())
    assert max(took.values()) < FREE_WITHIN + _BUSY, took
