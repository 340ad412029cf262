"""The Apprise channel against a real receiver on loopback, from its own thread."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest
from pydantic import ValidationError

from tests.support.virtual_time import wall
from watcher.channels import apprise
from watcher.configuration import loader, secrets
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

HIDDEN = "hidden-path-9f3b"


@asynccontextmanager
async def receiver(status: int | None) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Run a receiver that responds with `status`, or never; yield its URL and what it received."""
    notifications: list[dict[str, Any]] = []

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                received += await stream.receive()
            notifications.append(json.loads(received.partition(b"\r\n\r\n")[2]))
            if status is None:
                await anyio.sleep_forever()
            await stream.send(
                f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield (
            f"json://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/{HIDDEN}?rto=1",
            notifications,
        )
        tasks.cancel_scope.cancel()
    await listener.aclose()


def rejected(error: DeliveryError) -> bool:
    return error.disposition is Disposition.REJECTED


@pytest.fixture
def root_log() -> Iterator[io.StringIO]:
    """Collect what reaches the root logger, as in the daemon; caplog would collect more."""
    root, text = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def channel(url: str, **options: Any) -> apprise.AppriseChannel:
    settings = apprise.Settings(name="mail", url=url, **options)
    return apprise.create(
        settings,
        transport=httpx.MockTransport(lambda _: httpx.Response(500)),
        notes=InMemoryNotes(),
        wall=wall,
    )


def message(number: int = 1, kind: str = "task.failed", **data: Any) -> Message:
    event_data = {
        "task_id": f"task_{number}",
        "status": "FAILED",
        "previous_status": "IN_PROGRESS",
        **data,
    }
    return Message(
        event_id=f"msg_{number}",
        type=kind,
        body=json.dumps({"type": kind, "data": event_data}).encode(),
    )


async def test_an_event_is_sent_with_title_text_and_type() -> None:
    async with receiver(200) as (url, notifications):
        receipt = await channel(url).send(
            message(error_message="Object not found", labels={"team": "search"})
        )
    assert receipt == Receipt(status=200)
    assert (notifications[0]["title"], notifications[0]["type"]) == (
        "❌ Task failed: task_1",
        "failure",
    )
    assert notifications[0]["message"].splitlines() == [
        "Status: IN_PROGRESS → FAILED",
        "Task: task_1",
        "Labels: team: search",
        "Object not found",
    ]


async def test_a_digest_is_one_message_that_names_every_task() -> None:
    async with receiver(200) as (url, notifications):
        mail = channel(url)
        messages = [message(number) for number in range(30)] + [message(99, "task.completed")]
        assert len(mail.choose(messages)) == 31
        assert len(mail.choose(messages[:5])) == 1
        await mail.send_digest(messages)
    assert notifications[0]["title"] == "🔔 31 events"
    assert notifications[0]["type"] == "failure"
    assert all(f"task_{number}" in notifications[0]["message"] for number in [*range(30), 99])


@pytest.mark.parametrize("status", [403, 500])
async def test_a_rejection_is_retried_and_shows_its_status_and_no_secret(
    status: int, root_log: io.StringIO
) -> None:
    async with receiver(status) as (url, _):
        with pytest.raises(DeliveryError) as caught:
            await channel(url).send(message())
    error = caught.value
    assert (error.reason, error.status, rejected(error)) == (
        DeliveryFailure.UNAVAILABLE,
        status,
        False,
    )
    assert str(error) == f"Apprise could not deliver: HTTP {status}"
    assert HIDDEN not in root_log.getvalue()


async def test_a_service_that_hangs_is_a_timeout() -> None:
    async with receiver(None) as (url, _):
        with anyio.fail_after(5), pytest.raises(DeliveryError) as caught:
            await channel(url, timeout=0.2).send(message())
    assert caught.value.reason is DeliveryFailure.TIMEOUT


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nope://x", "not supported by Apprise"),
        ("", "not supported by Apprise"),
        ("json://receiver.example/x", "without encryption"),
        ("mailto://user:hidden@example.com", "without encryption"),
    ],
)
def test_an_invalid_url_is_rejected_without_showing_it(url: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        apprise.Settings(name="mail", url=url)
    assert problem in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["jsons://receiver.example/x", "discord://1234567890/abcdefghij", "json://127.0.0.1/x"]
)
def test_encrypted_services_and_this_machine_are_accepted(url: str) -> None:
    settings = apprise.Settings(name="mail", url=url)
    assert url not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    apprise.Settings(name="mail", url="json://receiver.example/x", allow_http=True)


def test_the_url_is_a_secret_to_mask(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text(
        f"channels: [{{name: mail, type: apprise, url: 'jsons://receiver.example/{HIDDEN}'}}]"
    )
    loaded = loader.load(file, {"MIXPEEK_API_KEY": "sk_made_up", "HOME": str(tmp_path)})
    assert f"jsons://receiver.example/{HIDDEN}" in secrets.secret_values(loaded)


def test_without_the_extra_the_configuration_error_shows_how_to_install_it(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text("channels: [{name: mail, type: apprise, url: 'jsons://receiver.example/x'}]")
    code = "import sys; sys.modules['apprise'] = None; from watcher.__main__ import main; main()"
    command = [sys.executable, "-c", code, "config", "check", str(file)]
    completed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={"MIXPEEK_API_KEY": "x", "HOME": str(tmp_path)},
    )
    assert completed.returncode == 2
    assert "needs an extra: pip install 'mixpeek-watcher[apprise]'" in completed.stderr
    assert "Traceback" not in completed.stderr
