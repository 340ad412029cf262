"""A Slack bot in virtual time: one updated message per batch, with the failures in its thread."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.delivery.harness import Harness, harness_at, running
from tests.support.slack_limits import assert_valid, every_text
from tests.support.virtual_time import VirtualLoop, wall
from watcher.channels.slack import channel as slack
from watcher.core.clock import rfc3339
from watcher.core.deliveries import DeliveryState, Message
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.interfaces.channel import Notes
from watcher.delivery.notes import InMemoryNotes, StoredNotes

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-made-up-0123456789"
MINUTE = 60.0


def rejected(error: DeliveryError) -> bool:
    return error.disposition is Disposition.REJECTED


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class SlackApi:
    """A fake of Slack's Web API with one channel: messages by timestamp, and threads.

    Each request returns the next of `errors`; an empty one means success.
    """

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.requests: list[tuple[float, str, dict[str, Any]]] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.threads: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        method = request.url.path.rsplit("/", 1)[-1]
        content = json.loads(request.content)
        self.requests.append((anyio.current_time(), method, content))
        if content["blocks"]:
            assert_valid(content)
        if self.errors and (error := self.errors.pop(0)):
            return httpx.Response(200, json={"ok": False, "error": error})
        if method == "chat.update":
            if content["ts"] not in self.messages:
                return httpx.Response(200, json={"ok": False, "error": "message_not_found"})
            assert content["channel"] == "C0123"
            self.messages[content["ts"]] = content
            return httpx.Response(
                200, json={"ok": True, "channel": "C0123", "ts": content["ts"], "message": content}
            )
        ts = f"{len(self.requests)}.0001"
        if "thread_ts" in content:
            self.threads.setdefault(content["thread_ts"], []).append(content)
        else:
            assert content["channel"] == "#alerts"
            self.messages[ts] = content
        # Slack repeats the message as it parsed it, which is longer than what was sent.
        repeated = {**content, "markup": "x" * 50_000}
        return httpx.Response(
            200, json={"ok": True, "channel": "C0123", "message": repeated, "ts": ts}
        )

    def shown(self) -> list[str]:
        return [
            "\n".join(every_text([message["blocks"], message["attachments"]]))
            for message in self.messages.values()
        ]

    def times(self, method: str) -> list[float]:
        return [at for at, requested, _ in self.requests if requested == method]


def settings(**options: Any) -> slack.Settings:
    return slack.Settings(name="backend", bot_token=TOKEN, slack_channel="#alerts", **options)


def channel(
    api: SlackApi, harness: Harness | None = None, notes: InMemoryNotes | None = None
) -> slack.BotSlack:
    stored = None if harness is None else StoredNotes(harness.store, "backend", wall)
    return bot_of(api, stored or notes or InMemoryNotes())


def bot_of(api: SlackApi, notes: Notes) -> slack.BotSlack:
    bot = slack.create(settings(), transport=httpx.MockTransport(api), notes=notes, wall=wall)
    assert isinstance(bot, slack.BotSlack)
    return bot


@asynccontextmanager
async def dispatching(folder: Path, api: SlackApi) -> AsyncIterator[Harness]:
    """Run a dispatcher that delivers to a bot over `api`."""
    async with (
        harness_at(folder) as harness,
        running(harness.dispatcher(channel(api, harness), concurrency=4, rate=1)),
    ):
        yield harness


def message(number: int = 1, *, kind: str = "task.failed", batch: str | None = None) -> Message:
    status = kind.removeprefix("task.").upper()
    data = {"task_id": f"task_{number}", "status": status, "additional_data": {"batch_id": batch}}
    return Message(
        event_id=f"msg_{number}", type=kind, body=json.dumps({"type": kind, "data": data}).encode()
    )


async def rejection(api: SlackApi, event: Message) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel(api).send(event)
    assert TOKEN not in str(caught.value)
    return caught.value


async def test_a_batch_is_one_updated_message_with_failures_in_its_thread(
    tmp_path: Path,
) -> None:
    api = SlackApi()
    async with dispatching(tmp_path, api) as harness:
        for number in range(40):
            await harness.store_event(f"task_{number}", "IN_PROGRESS", batch="batch_1")
        await anyio.sleep(10)
        for number in range(40):
            await harness.store_event(
                f"task_{number}", "FAILED" if number in (7, 8) else "COMPLETED", batch="batch_1"
            )
            await anyio.sleep(1)
        await anyio.sleep(20)
        states = {one.state for one in await harness.deliveries()}

    assert states == {DeliveryState.DELIVERED}
    ((ts, _),) = api.messages.items()
    (text,) = api.shown()
    assert "📦 *Batch* `batch_1`: 40 of 40 tasks done, 2 failed" in text
    assert "*❌ 2 failed*: `task_7`, `task_8`" in text
    assert "*✅ 38 completed*: `task_0`, `task_1`, `task_2`, `task_3`, `task_4` and 33 more" in text
    assert ["task_7" in one["text"] or "task_8" in one["text"] for one in api.threads[ts]] == [
        True,
        True,
    ]
    assert all(second - first >= 5 for first, second in pairwise(api.times("chat.update")))
    assert len(api.requests) <= 20


async def test_a_restart_continues_with_the_same_message_and_repeats_nothing_in_its_thread(
    tmp_path: Path,
) -> None:
    api = SlackApi()
    async with harness_at(tmp_path) as harness:
        async with running(harness.dispatcher(channel(api, harness), concurrency=4, rate=1)):
            await harness.store_event("task_1", "FAILED", batch="batch_1")
            await anyio.sleep(30)
        async with running(harness.dispatcher(channel(api, harness), concurrency=4, rate=1)):
            await harness.store_event("task_2", "FAILED", batch="batch_1")
            await anyio.sleep(30)
            for one in await harness.deliveries():
                await harness.store.retry(one.id, wall())
            harness.outbox.set()
            await anyio.sleep(30)

    assert len(api.messages) == 1
    assert "2 of 2 tasks done" in api.shown()[0]
    assert [len(thread) for thread in api.threads.values()] == [2]


async def test_each_batch_has_a_message_and_so_has_each_event_without_a_batch(
    tmp_path: Path,
) -> None:
    api = SlackApi()
    async with dispatching(tmp_path, api) as harness:
        for number in range(12):
            await harness.store_event(
                f"task_{number}", "COMPLETED", batch=(None, "batch_1", "batch_2")[number % 3]
            )
        await anyio.sleep(MINUTE)
    heads = sorted(message["blocks"][0]["text"]["text"] for message in api.messages.values())
    assert heads == [
        *(f"✅ *Task completed*: `task_{number}`" for number in (0, 3, 6, 9)),
        "📦 *Batch* `batch_1`: 4 of 4 tasks done",
        "📦 *Batch* `batch_2`: 4 of 4 tasks done",
    ]


async def test_a_batch_of_a_thousand_failures_is_a_few_messages(tmp_path: Path) -> None:
    api = SlackApi()
    async with dispatching(tmp_path, api) as harness:
        for number in range(1000):
            await harness.store_event(f"task_{number}", "FAILED", batch="batch_1")
            await anyio.sleep(0.01)
        await anyio.sleep(50)
        states = [one.state for one in await harness.deliveries()]
    assert states == [DeliveryState.DELIVERED] * 1000
    assert len(api.messages) == 1
    assert "1,000 of 1,000 tasks done" in api.shown()[0]
    assert len(api.requests) <= 20


async def test_an_old_event_that_is_sent_again_does_not_change_the_message(
    tmp_path: Path,
) -> None:
    api = SlackApi()
    async with dispatching(tmp_path, api) as harness:
        for status in ("QUEUED", "IN_PROGRESS", "COMPLETED"):
            await harness.store_event("task_1", status, batch="batch_1")
            await anyio.sleep(10)
        await harness.store.retry((await harness.deliveries())[0].id, wall())
        harness.outbox.set()
        await anyio.sleep(10)
    assert "1 of 1 task done" in api.shown()[0]


async def test_a_deleted_message_is_posted_again() -> None:
    api = SlackApi()
    bot = channel(api)
    await bot.send(message(1, batch="batch_1"))
    api.messages.clear()
    await bot.send(message(2, batch="batch_1"))
    assert "2 of 2 tasks done" in api.shown()[0]


async def test_a_batch_whose_message_is_gone_has_its_failures_in_a_new_thread() -> None:
    api = SlackApi("", "", "", "message_not_found")
    bot = channel(api)
    await bot.send(message(1, batch="batch_1"))
    await bot.send(message(2, kind="task.completed", batch="batch_1"))
    await bot.send(message(3, batch="batch_1"))
    first, second = api.threads.values()
    assert ["task_1" in first[0]["text"], "task_3" in second[0]["text"]] == [True, True]
    assert "3 of 3 tasks done" in api.shown()[1]


async def test_of_a_large_batch_the_tasks_that_ended_first_are_counted_only() -> None:
    api, notes = SlackApi(), KeptNotes()
    bot = channel(api, notes=notes)
    kinds = {"task.completed": 2500, "task.failed": 300}
    numbers = iter(range(2800))
    for kind, count in kinds.items():
        for _ in range(count // 100):
            events = [message(next(numbers), kind=kind, batch="batch_1") for _ in range(100)]
            await bot.send_digest(events)
    (text,) = api.shown()
    assert "2,800 of 2,800 tasks done, 300 failed" in text
    assert "*✅ 2,500 completed*" in text
    assert max(notes.sizes) < 200_000

    restarted = channel(api, notes=notes)
    await restarted.send(message(2799, kind="task.failed", batch="batch_1"))  # once more
    await restarted.send(message(2800, kind="task.failed", batch="batch_1"))
    assert "2,801 of 2,801 tasks done, 301 failed" in api.shown()[0]


async def test_of_a_large_batch_that_runs_the_message_shows_that_there_are_more() -> None:
    api = SlackApi()
    bot = channel(api)
    for start in range(0, 1200, 100):
        events = [
            message(start + number, kind="task.queued", batch="batch_1") for number in range(100)
        ]
        await bot.send_digest(events)
    assert "0 of more than 1,000 tasks done" in api.shown()[0]


async def test_the_end_of_an_outage_is_in_the_thread_of_its_beginning_after_a_restart_too() -> None:
    api, notes = SlackApi(), InMemoryNotes()
    await channel(api, notes=notes).send(outage("source.unreachable"))
    await channel(api, notes=notes).send(outage("channel.failing"))
    await channel(api, notes=notes).send(outage("source.recovered"))
    await channel(api, notes=notes).send(outage("source.recovered"))  # of which nothing is known
    failing, _, recovered = api.messages
    ((thread, (reply,)),) = api.threads.items()
    assert thread == failing
    assert reply["text"] == "✅ Source recovered: mixpeek after 41 min"
    assert reply["attachments"][0]["color"] == "#2eb67d"
    assert api.messages[recovered]["text"] == reply["text"]


async def test_the_end_of_an_outage_whose_message_is_gone_is_a_message_of_its_own() -> None:
    api, notes = SlackApi("", "thread_not_found"), InMemoryNotes()
    await channel(api, notes=notes).send(outage("channel.stopped"))
    await channel(api, notes=notes).send(outage("channel.recovered"))
    assert [one["text"] for one in api.messages.values()] == [
        "🛑 Channel stopped: backend: timeout",
        "✅ Channel recovered: backend after 41 min",
    ]


@pytest.mark.parametrize("note", [b"{", b"[]", b'{"ts": 5}'])
async def test_an_invalid_note_of_an_outage_means_a_message_of_its_own(note: bytes) -> None:
    api, notes = SlackApi(), InMemoryNotes()
    await notes.write("outage source mixpeek", note)
    await channel(api, notes=notes).send(outage("source.recovered"))
    assert len(api.messages) == 1


def outage(kind: str) -> Message:
    data = {"reason": "timeout", "since": rfc3339(wall() - 41 * MINUTE)}
    names = {"source": "mixpeek"} if kind.startswith("source.") else {"channel": "backend"}
    body = json.dumps(
        {"type": kind, "timestamp": rfc3339(wall()), "data": {**names, **data}}
    ).encode()
    return Message(event_id="msg_1", type=kind, body=body)


@pytest.mark.parametrize("batch", ["b" * 1_000_000, "b\n", "<!channel>/..", ""])
async def test_what_is_no_id_is_no_batch_and_leaves_no_note(batch: str) -> None:
    api, notes = SlackApi(), KeptNotes()
    await channel(api, notes=notes).send(message(batch=batch))
    assert notes.names == []
    assert [method for _, method, _ in api.requests] == ["chat.postMessage"]
    assert api.threads == {}


async def test_what_cannot_be_the_place_of_a_message_is_not_stored() -> None:
    notes = KeptNotes()
    answer = {"ok": True, "channel": "C" * 100_000, "ts": "1.0\n" * 10_000}
    bot = slack.create(
        settings(),
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)),
        notes=notes,
        wall=wall,
    )
    await bot.send(message(batch="batch_1"))
    stored = await notes.read("batch_1")
    assert stored is not None and len(stored) < 500


class KeptNotes(InMemoryNotes):
    """Notes with the names that they were written under."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.sizes: list[int] = []

    async def write(self, name: str, value: bytes) -> None:
        self.names.append(name)
        self.sizes.append(len(value))
        await super().write(name, value)


async def test_an_invalid_note_means_a_new_message() -> None:
    api, notes = SlackApi(), InMemoryNotes()
    await notes.write("batch_1", b'{"statuses": 5}')
    bot = slack.create(settings(), transport=httpx.MockTransport(api), notes=notes, wall=wall)
    await bot.send(message(1, batch="batch_1"))
    assert "1 of 1 task done" in api.shown()[0]


async def test_blocks_that_slack_rejects_are_sent_again_as_plain_text() -> None:
    api = SlackApi("invalid_blocks")
    await channel(api).send(message(1))
    (content,) = api.messages.values()
    assert content["blocks"] == content["attachments"] == []
    assert "Task failed: task_1" in content["text"]

    texts: list[dict[str, Any]] = []

    def webhook(request: httpx.Request) -> httpx.Response:
        texts.append(json.loads(request.content))
        return (
            httpx.Response(400, text="invalid_blocks")
            if "blocks" in texts[-1]
            else httpx.Response(200, text="ok")
        )

    webhook_settings = slack.Settings(name="backend", url="https://hooks.slack.example/x")
    bot = slack.create(
        webhook_settings, transport=httpx.MockTransport(webhook), notes=InMemoryNotes(), wall=wall
    )
    await bot.send_digest([message(number) for number in range(8)])
    assert len(texts) == 2
    assert texts[1]["text"].splitlines() == [
        "❌ 8 tasks failed",
        "• task_0, task_1, task_2, task_3, task_4",
        "    and 3 more: watcher ls --status FAILED",
    ]
    assert "attachments" not in texts[1]


@pytest.mark.parametrize(
    ("error_code", "reason", "payload_rejected"),
    [
        ("is_archived", DeliveryFailure.GONE, False),
        ("invalid_auth", DeliveryFailure.GONE, False),
        ("not_in_channel", DeliveryFailure.GONE, False),
        ("internal_error", DeliveryFailure.UNAVAILABLE, False),
        ("msg_too_long", DeliveryFailure.REJECTED, True),
    ],
)
async def test_slacks_error_determines_reason_and_disposition(
    error_code: str, reason: DeliveryFailure, payload_rejected: bool
) -> None:
    error = await rejection(SlackApi(error_code, error_code), message())  # and as plain text
    assert (error.reason, rejected(error), error.response) == (
        reason,
        payload_rejected,
        json.dumps({"ok": False, "error": error_code}, separators=(",", ":")),
    )


async def test_a_response_that_is_not_slacks_is_retried() -> None:
    bot = slack.create(
        settings(),
        transport=httpx.MockTransport(lambda request: httpx.Response(200, text="<html>")),
        notes=InMemoryNotes(),
        wall=wall,
    )
    with pytest.raises(DeliveryError) as caught:
        await bot.send(message())
    assert (caught.value.reason, rejected(caught.value)) == (DeliveryFailure.PROTOCOL, False)
