"""The Apprise channel against real receivers on loopback, from its own process."""

import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import apprise as library
import httpx
import pytest
from pydantic import SecretStr, ValidationError

from tests.support.virtual_time import wall
from watcher.channels import _apprise_worker, apprise
from watcher.configuration import loader, secrets
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.interfaces.channel import Closing
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

HIDDEN = "hidden-path-9f3b"
MEBIBYTE = 1024 * 1024

Answer = Callable[[anyio.abc.SocketStream], Awaitable[None]]


def plain(status: int, *headers: str) -> Answer:
    """Return an answer without a body."""
    lines = (f"HTTP/1.1 {status} X", "content-length: 0", "connection: close", *headers)

    async def answer(stream: anyio.abc.SocketStream) -> None:
        await stream.send("\r\n".join([*lines, "", ""]).encode())

    return answer


async def silence(stream: anyio.abc.SocketStream) -> None:
    await anyio.sleep_forever()


def endless(piece: bytes, every: float) -> Answer:
    """Return an answer of 200 whose body never ends."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            await stream.send(piece)
            await anyio.sleep(every)

    return answer


@asynccontextmanager
async def receiver(*answers: Answer) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Run a receiver that gives these answers, the last one again and again.

    Yields its URL and what it received.
    """
    notifications: list[dict[str, Any]] = []

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                received += await stream.receive()
            notifications.append(json.loads(received.partition(b"\r\n\r\n")[2]))
            try:
                await answers[min(len(notifications), len(answers)) - 1](stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return  # the client has closed the connection

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


@asynccontextmanager
async def channel(url: str, **options: Any) -> AsyncIterator[apprise.AppriseChannel]:
    # Not validated: that starts a process of its own, which takes a second.
    settings = apprise.Settings.model_construct(name="mail", url=SecretStr(url), **options)
    built = apprise.create(
        settings,
        transport=httpx.MockTransport(lambda _: httpx.Response(500)),
        notes=InMemoryNotes(),
        wall=wall,
    )
    assert isinstance(built, Closing)
    try:
        yield built
    finally:
        await built.aclose()


def processes() -> list[int]:
    """Return the IDs of the processes in which Apprise runs."""
    threads = Path(f"/proc/{os.getpid()}/task").iterdir()
    ids = {int(text) for one in threads for text in (one / "children").read_text().split()}
    return [id_ for id_ in ids if b"_apprise_worker" in Path(f"/proc/{id_}/cmdline").read_bytes()]


async def failure(built: apprise.AppriseChannel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await built.send(message())
    assert HIDDEN not in str(caught.value)
    return caught.value


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
    async with receiver(plain(200)) as (url, notifications), channel(url) as mail:
        receipt = await mail.send(
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
        "Error: Object not found",
    ]


async def test_a_digest_is_one_message_that_names_every_task() -> None:
    async with receiver(plain(200)) as (url, notifications), channel(url) as mail:
        messages = [message(number) for number in range(30)] + [message(99, "task.completed")]
        assert len(mail.choose(messages)) == 31
        assert len(mail.choose(messages[:5])) == 1
        await mail.send_digest(messages)
    assert notifications[0]["title"] == "🔔 31 events"
    assert notifications[0]["type"] == "failure"
    assert all(f"task_{number}" in notifications[0]["message"] for number in [*range(30), 99])


async def test_an_outage_and_its_end_are_sent_alone_as_failure_and_success() -> None:
    tasks = [message(number) for number in range(8)]
    failing = message(20, "channel.failing", channel="backend", reason="timeout")
    recovered = message(21, "channel.recovered", channel="backend")
    async with receiver(plain(200)) as (url, notifications), channel(url) as mail:
        assert mail.choose([failing, *tasks, recovered]) == [0]
        assert mail.choose([*tasks, failing, recovered]) == list(range(8))
        await mail.send(failing)
        await mail.send(recovered)
    assert [(one["title"], one["type"]) for one in notifications] == [
        ("📪 Channel failing: backend", "failure"),
        ("✅ Channel recovered: backend", "success"),
    ]
    assert apprise.subject_of(failing) == apprise.subject_of(recovered) == "channel backend"


@pytest.mark.parametrize(
    ("options", "key"),
    [("action=map", "channel backend"), ("action=map&dedup=own", "own"), ("action=trigger", None)],
)
def test_a_service_that_resolves_incidents_gets_one_key_for_an_outage_and_its_end(
    options: str, key: str | None
) -> None:
    url = f"pagerduty://{'i' * 32}@{'a' * 20}/watcher/server?{options}"
    service = library.Apprise.instantiate(url)
    for subject in ("channel other", "channel backend"):
        _apprise_worker.name_incident(service, subject)
    assert getattr(service, "dedup", None) == key


MEANINGS = {
    400: (DeliveryFailure.REJECTED, Disposition.REJECTED),
    403: (DeliveryFailure.REJECTED, Disposition.PERSISTENT),
    404: (DeliveryFailure.REJECTED, Disposition.PERSISTENT),
    410: (DeliveryFailure.GONE, Disposition.GONE),
    429: (DeliveryFailure.RATE_LIMITED, Disposition.OVERLOADED),
    500: (DeliveryFailure.UNAVAILABLE, Disposition.TRANSIENT),
    503: (DeliveryFailure.UNAVAILABLE, Disposition.OVERLOADED),
}


async def test_a_status_means_what_it_means_for_every_channel(root_log: io.StringIO) -> None:
    async with receiver(*map(plain, MEANINGS)) as (url, _), channel(url) as mail:
        for status, meaning in MEANINGS.items():
            error = await failure(mail)
            assert (error.status, error.retry_after) == (status, None)
            assert (error.reason, error.disposition) == meaning
            assert str(error) == f"Apprise could not deliver: HTTP {status}"
    assert HIDDEN not in root_log.getvalue()


async def test_retry_after_is_kept() -> None:
    answers = [plain(status, f"retry-after: {status}") for status in (429, 503)]
    async with receiver(*answers) as (url, _), channel(url) as mail:
        assert (await failure(mail)).retry_after == 429
        assert (await failure(mail)).retry_after == 503


async def test_no_redirect_is_followed() -> None:
    statuses = (301, 302, 303, 307, 308)
    async with receiver(plain(200)) as (elsewhere, followed):
        location = f"location: {elsewhere.replace('json', 'http')}"
        answers = [plain(status, location) for status in statuses]
        async with receiver(*answers) as (url, _), channel(url) as mail:
            for status in statuses:
                error = await failure(mail)
                assert (error.reason, error.status) == (DeliveryFailure.REDIRECT, status)
    assert followed == []


async def test_what_follows_a_status_is_bounded_in_size_and_time() -> None:
    answers = [plain(200), endless(b"x" * 65536, 0), endless(b"x", 0.1), endless(b"", 0.1)]
    async with receiver(*answers) as (url, notifications), channel(url) as mail:
        for _ in answers:
            with anyio.fail_after(10):
                await mail.send(message())
        (process,) = processes()
        assert memory_peak_of(process) < 150 * MEBIBYTE
    assert len(notifications) == len(answers)


def memory_peak_of(process: int) -> int:
    """Return the largest resident size of a process so far, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


async def test_the_memory_of_the_process_is_limited() -> None:
    async with receiver(plain(200)) as (url, _), channel(url) as mail:
        await mail.send(message())
        (process,) = processes()
        limits = resource.prlimit(process, resource.RLIMIT_AS)
    assert limits == (_apprise_worker.MEMORY_LIMIT, _apprise_worker.MEMORY_LIMIT)


async def test_a_service_that_hangs_is_a_timeout_and_its_process_ends() -> None:
    async with receiver(silence) as (url, _), channel(url, timeout=0.2) as mail:
        with anyio.fail_after(20):
            error = await failure(mail)
        assert processes() == []
    assert error.reason is DeliveryFailure.TIMEOUT


async def test_a_cancelled_attempt_ends_at_once() -> None:
    arrived = anyio.Event()

    async def hang(_: anyio.abc.SocketStream) -> None:
        arrived.set()
        await anyio.sleep_forever()

    async with receiver(hang) as (url, _), channel(url) as mail:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mail.send, message())
            await arrived.wait()
            started_at = anyio.current_time()
            tasks.cancel_scope.cancel()
        assert anyio.current_time() - started_at < 1
        assert processes() == []


async def test_no_receiver_is_no_connection() -> None:
    async with channel("json://127.0.0.1:9/x") as mail:
        error = await failure(mail)
    assert (error.reason, str(error)) == (
        DeliveryFailure.CONNECT,
        "Apprise could not deliver: no connection",
    )


async def test_a_process_is_kept_for_the_next_message_and_outlives_a_signal_to_its_group() -> None:
    async with receiver(plain(200)) as (url, _), channel(url) as mail:
        await mail.send(message())
        (process,) = processes()
        os.kill(process, signal.SIGTERM)
        os.kill(process, signal.SIGINT)
        await mail.send(message())
        assert processes() == [process]
    assert processes() == []


async def test_a_process_that_ended_is_replaced() -> None:
    async def kill(_: anyio.abc.SocketStream) -> None:
        (process,) = processes()
        os.kill(process, signal.SIGKILL)

    answers = [plain(200), kill, plain(200)]
    async with receiver(*answers) as (url, notifications), channel(url) as mail:
        await mail.send(message())
        error = await failure(mail)
        await mail.send(message())
    assert str(error) == "Apprise could not deliver: its process ended"
    assert len(notifications) == 3


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nope://x", "not supported by Apprise"),
        ("", "must not be empty"),
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
