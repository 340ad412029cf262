"""Webhooks that start a workflow, against a real server; and which addresses are Slack's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.support.virtual_time import wall
from watcher.channels.slack import channel as slack
from watcher.channels.slack.addresses import is_workflow
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport
from watcher.testing.loopback import served

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def workflow(
    path: str, *, status: int = 200, text: str = '{"ok":true}'
) -> AsyncIterator[tuple[slack.WorkflowSlack, list[dict[str, Any]]]]:
    """Serve a workflow's webhook; yield a channel for it, and what it received."""
    received: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        received.append(await request.json())
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with served(app) as url:
        settings = slack.Settings(name="flow", url=url + path, allow_http=True, mention="<!here>")
        async with channel_transport(settings) as transport:
            channel = slack.create(settings, transport=transport, notes=InMemoryNotes(), wall=wall)
            assert isinstance(channel, slack.WorkflowSlack)
            yield channel, received


def message(number: int = 1, kind: str = "task.failed", **data: Any) -> Message:
    content = {"type": kind, "data": data}
    return Message(event_id=f"msg_{number}", type=kind, body=json.dumps(content).encode())


@pytest.mark.parametrize("path", ["/triggers/T0/1/x", "/workflows/T0/A0/1/x", "/proxy/triggers/T0"])
async def test_a_workflow_gets_a_flat_object_of_texts(path: str) -> None:
    async with workflow(path) as (channel, received):
        receipt = await channel.send(
            message(
                task_id="task_1",
                task_type="api_x",
                status="FAILED",
                error_message="Object <x> & y\nnot found",
                outputs=[{"a": 1}],
            )
        )
    assert receipt.status == 200
    assert received == [
        {
            "text": "❌ Task failed: task_1: Object &lt;x&gt; &amp; y not found",
            "task_id": "task_1",
            "task_type": "api_x",
            "status": "FAILED",
            "error_message": "Object &lt;x&gt; &amp; y\nnot found",
        }
    ]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"task_id": None, "task_type": None, "status": None, "error_message": None},
        {"task_id": 5, "status": ["FAILED"], "error_message": {"message": "x"}},
        {"error_message": "x" * 100_000, "task_id": "y" * 100_000},
    ],
)
async def test_every_variable_is_a_text_of_bounded_length(data: dict[str, Any]) -> None:
    async with workflow("/triggers/T0") as (channel, received):
        await channel.send(message(**data))
        await channel.send(message(kind="channel.failing", channel="backend", reason="timeout"))
        await channel.send_digest([message(number, task_id=f"t{number}") for number in range(9)])
    for variables in received:
        assert set(variables) == {"text", "task_id", "task_type", "status", "error_message"}
        assert all(isinstance(value, str) and len(value) <= 3000 for value in variables.values())
        assert variables["text"]
    assert received[1]["text"] == "📪 Channel failing: backend: timeout"
    assert all(f"t{number}" in received[2]["text"] for number in range(9))


@pytest.mark.parametrize(
    ("status", "text"), [(200, ""), (200, '{"ok":true}'), (200, "ok"), (202, "{}"), (204, "")]
)
async def test_a_2xx_is_a_success(status: int, text: str) -> None:
    async with workflow("/triggers/T0", status=status, text=text) as (channel, _):
        assert (await channel.send(message(task_id="task_1"))).status == status


@pytest.mark.parametrize(
    ("status", "text", "reason", "disposition"),
    [
        (200, "<html>Sign in", DeliveryFailure.PROTOCOL, Disposition.TRANSIENT),
        (
            200,
            '{"ok":false,"error":"invalid_auth"}',
            DeliveryFailure.GONE,
            Disposition.GONE,
        ),
        (404, "no_service", DeliveryFailure.GONE, Disposition.GONE),
        (400, "", DeliveryFailure.REJECTED, Disposition.REJECTED),
        (429, "", DeliveryFailure.RATE_LIMITED, Disposition.OVERLOADED),
    ],
)
async def test_failures(
    status: int, text: str, reason: DeliveryFailure, disposition: Disposition
) -> None:
    async with workflow("/triggers/T0", status=status, text=text) as (channel, _):
        with pytest.raises(DeliveryError) as caught:
            await channel.send(message(task_id="task_1"))
    assert (caught.value.reason, caught.value.disposition) == (reason, disposition)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.slack.com/triggers/T0/1/x", True),
        ("https://hooks.slack.com/workflows/T0/A0/1/x", True),
        ("https://hooks.slack-gov.com/triggers/T0/1/x", True),
        ("https://proxy.example/slack/triggers/T0/1/x", True),
        ("https://hooks.slack.com/services/T0/B0/x", False),
        ("https://hooks.slack.com/services/triggers", False),
        ("https://hooks.slack.example/x?next=/triggers/", False),
        ("https://triggers.example/x", False),
    ],
)
def test_the_path_shows_a_workflow_whatever_the_host(url: str, expected: bool) -> None:
    assert is_workflow(url) is expected


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"url": "https://hooks.slack.com/services/T0/B0/hidden"}, False),
        ({"url": "https://HOOKS.slack.com/services/T0/B0/hidden"}, False),
        ({"url": "https://hooks.slack-gov.com/services/T0/B0/hidden"}, False),
        ({"url": "https://hooks.slack.com/triggers/T0/1/hidden"}, False),
        ({"url": "https://proxy.example/triggers/T0/1/hidden"}, False),
        ({"url": "https://hooks.slack.com/hidden"}, True),
        ({"url": "https://hooks.slack.com.evil.example/services/T0/B0/hidden"}, True),
        ({"url": "https://notslack.com/services/T0/B0/hidden"}, True),
        ({"url": "https://mattermost.example/hooks/hidden"}, True),
        ({"bot_token": "xoxb-x", "slack_channel": "#x"}, False),
        (
            {
                "bot_token": "xoxb-x",
                "slack_channel": "#x",
                "api_url": "https://slack-gov.com/api/",
            },
            False,
        ),
        (
            {
                "bot_token": "xoxb-x",
                "slack_channel": "#x",
                "api_url": "https://proxy.example/hidden",
            },
            True,
        ),
    ],
)
def test_an_address_that_is_not_slacks_has_a_warning(options: Any, warned: bool) -> None:
    warnings = slack.Settings(name="alerts", **options).warnings()
    assert bool(warnings) is warned
    assert "hidden" not in "".join(warnings)
