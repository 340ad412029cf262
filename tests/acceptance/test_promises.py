"""What users are promised, held against the installed command."""

import asyncio
import base64
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import anyio
import httpx
import pytest
from aiohttp import web

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add, site_in
from tests.support.records import SECRET
from watcher.testing.faults import answers, cut_off, hangs, resets

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_in(tmp_path) as made:
        yield made


def sequences(site: Site) -> dict[str, list[int]]:
    """For each task the sequences of its accepted webhooks, each webhook once, in the order it
    first came.
    """
    found: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for one in site.receiver.accepted():
        assert one.verified
        if one.event_id not in seen and "task_id" in one.event["data"]:
            found[one.event["data"]["task_id"]].append(one.event["data"]["sequence"])
        seen.add(one.event_id)
    return found


def types(site: Site) -> list[str]:
    return [one.event["type"] for one in site.receiver.accepted()]


async def test_forty_tasks_are_followed_to_their_ends(site: Site) -> None:
    names = [f"task_{number}" for number in range(40)]
    ends = ["COMPLETED", "FAILED", "CANCELED", "COMPLETED_WITH_ERRORS", "SKIPPED"]
    async with site.daemon() as daemon:
        added = await site.command(daemon, "add", *names, "--label", "team=search")
        assert added.stdout == b"40 added, 0 already watched\n"
        for status in ("PENDING", "IN_PROGRESS"):
            for name in names:
                site.upstream.set(name, status)
            await site.until(
                lambda status=status: types(site).count(f"task.{status.lower()}") == 40
            )
        for number, name in enumerate(names):
            site.upstream.set(name, ends[number % 5])
        waited = await site.command(daemon, "wait", *names, "--timeout", "30s")
        await site.until(lambda: len(site.receiver.accepted()) == 120)
        listed = json.loads(
            (await site.command(daemon, "ls", "--json", "--label", "team=search")).stdout
        )
        assert await daemon.stop() == 0

    assert waited.returncode == 1
    assert sequences(site) == {name: [1, 2, 3] for name in names}
    assert {item["state"] for item in listed} == {"done"}
    assert len({one.event_id for one in site.receiver.received}) == 120


async def test_sigterm_finishes_what_is_in_flight_and_tries_what_was_never_tried(
    site: Site,
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> None:
        arrived.set()
        await go_on.wait()

    site.receiver.fault = slow
    site.upstream.set("task_1", "COMPLETED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await arrived.wait()
        daemon.process.send_signal(signal.SIGTERM)
        await site.until(lambda: any("stopping" in line for line in daemon.log))
        go_on.set()
        assert await daemon.ended() == 0

    assert types(site) == ["task.completed"]
    async with site.daemon() as daemon:
        assert await daemon.stop() == 0
    assert types(site) == ["task.completed"]


async def hanging(site: Site, daemon: Daemon) -> None:
    """Bring a delivery in flight to a receiver that never answers."""
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> None:
        arrived.set()
        await asyncio.Event().wait()

    site.receiver.fault = hang
    site.upstream.set("task_1", "COMPLETED")
    await add(daemon, "task_1")
    await arrived.wait()


async def test_a_receiver_that_hangs_cannot_keep_the_daemon_from_stopping(site: Site) -> None:
    async with site.daemon() as daemon:
        await hanging(site, daemon)
        began = anyio.current_time()
        assert await daemon.stop() == 0
        assert anyio.current_time() - began <= 12
        assert any("1 deliveries to 'backend' are pending" in line for line in daemon.log)


async def test_a_second_signal_ends_it_at_once(site: Site) -> None:
    async with site.daemon() as daemon:
        await hanging(site, daemon)
        daemon.process.send_signal(signal.SIGTERM)
        await site.until(lambda: any("stopping" in line for line in daemon.log))
        began = anyio.current_time()
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.ended()
        assert anyio.current_time() - began < 5


class Turmoil:
    """Twenty tasks that keep changing, and a receiver that rejects three of ten."""

    def __init__(self, site: Site) -> None:
        self.names = [f"task_{number}" for number in range(20)]
        self._site = site
        self._random = Random(5)
        statuses = ["IN_PROGRESS", "QUEUED", "PROCESSING", "IN_PROGRESS", "PROCESSING", "COMPLETED"]
        self._steps = {name: iter(statuses) for name in self.names}
        site.receiver.fault = self._moody
        self.show_all("PENDING")

    async def _moody(self, _: web.Request) -> web.StreamResponse | None:
        if self._random.random() < 0.3:
            return web.Response(status=self._random.choice([500, 503, 404]))
        return None

    def show_all(self, status: str) -> None:
        for name in self.names:
            self._site.upstream.set(name, status)

    async def until_killed(self, daemon: Daemon) -> None:
        for _ in range(self._random.randrange(1, 4)):
            for name in self.names:
                if self._random.random() < 0.3 and (status := next(self._steps[name], None)):
                    self._site.upstream.set(name, status)
            await anyio.sleep(self._random.random() * 0.15)
        daemon.process.kill()
        await daemon.ended()


async def stored_sequences(daemon: Daemon, names: list[str]) -> dict[str, list[int]]:
    async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client:
        watches = {name: (await client.get(f"/v1/watches/{name}")).json() for name in names}
    return {
        name: [one["sequence"] for one in watch["transitions"]] for name, watch in watches.items()
    }


async def test_kill_9_twenty_times_loses_nothing_and_keeps_the_order(site: Site) -> None:
    turmoil = Turmoil(site)
    for _ in range(20):
        async with site.daemon() as daemon:
            await add(daemon, *turmoil.names)
            await turmoil.until_killed(daemon)
    turmoil.show_all("COMPLETED")
    site.receiver.fault = None
    async with site.daemon() as daemon:
        await site.until(lambda: len(set(ended(site))) == len(turmoil.names))
        stored = await stored_sequences(daemon, turmoil.names)
        await site.until(
            lambda: sum(map(len, sequences(site).values())) >= sum(map(len, stored.values()))
        )
        assert await daemon.stop() == 0

    assert sequences(site) == stored
    assert all(line == list(range(1, len(line) + 1)) for line in stored.values())
    accepted = [one.event["data"] for one in site.receiver.accepted()]
    for name in turmoil.names:
        line = [data["sequence"] for data in accepted if data["task_id"] == name]
        assert line == sorted(line)
    # Accepted twice can only be what was in flight when a daemon was killed: at most one for each
    # of its eight senders.
    assert len(accepted) - len({one.event_id for one in site.receiver.accepted()}) <= 20 * 8


def ended(site: Site) -> list[str]:
    return [
        one.event["data"]["task_id"]
        for one in site.receiver.accepted()
        if one.event["data"]["terminal"]
    ]


FAULTS = {
    "503 with Retry-After": answers(503, "{}", content_type="application/json", Retry_After="1"),
    "429": answers(429, "{}", content_type="application/json", Retry_After="1"),
    "500": answers(500, "oops"),
    "html": answers(200, "<html>Sign in</html>"),
    "null": answers(200, "null", content_type="application/json"),
    "404 of a gateway": answers(404, "<html>no such app</html>"),
    "redirect": answers(302, "", Location="http://127.0.0.1:9/"),
    "reset": resets,
    "cut off": cut_off,
    "hang": hangs,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_upstreams_failures_are_survived_said_rarely_and_caught_up_with(
    site: Site, fault: str
) -> None:
    names = [f"task_{number}" for number in range(8)]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    async with site.daemon() as daemon:
        await add(daemon, *names)
        await site.until(lambda: types(site).count("task.in_progress") == 8)
        site.upstream.fault = FAULTS[fault]
        requested = site.upstream.requests.total()
        await site.until(lambda: site.upstream.requests.total() > requested + 2)
        for name in names:
            site.upstream.set(name, "COMPLETED")
        site.upstream.fault = None
        await site.until(lambda: types(site).count("task.completed") == 8)
        async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
        assert await daemon.stop() == 0

    assert len(daemon.messages("warning")) + len(daemon.messages("error")) <= 4
    assert "task.lost" not in types(site)


async def test_a_bad_key_is_one_clear_line_and_health_is_not_touched(site: Site) -> None:
    async with site.daemon(MIXPEEK_API_KEY="sk_wrong_0123456789") as daemon:
        await add(daemon, "task_1", "task_2", "task_3")
        await site.until(lambda: daemon.messages("error"))
        async with httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert 'watcher_source_up{source="mixpeek"} 0.0' in (await client.get("/metrics")).text
        assert await daemon.stop() == 0

    assert len(daemon.messages("error")) == 1
    assert "sk_wrong" not in "".join(daemon.log)


async def test_a_second_daemon_on_the_same_store_is_rejected(site: Site) -> None:
    async with site.daemon():
        second = await site.command(None, "run")
    assert second.returncode == 2
    assert b"another watcher already uses" in second.stderr
    assert len(second.stderr.splitlines()) == 1


async def test_wait_survives_a_restart_of_the_daemon(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    port = "0"
    async with anyio.create_task_group() as tasks:
        results = []
        async with site.daemon() as daemon:
            port = daemon.url.rpartition(":")[2]

            async def wait() -> None:
                results.append(
                    await site.command(daemon, "wait", "task_1", "--timeout", "40s", "--json")
                )

            tasks.start_soon(wait)
            await site.until(lambda: types(site) == ["task.in_progress"])
            daemon.process.kill()
            await daemon.ended()
        site.upstream.set("task_1", "COMPLETED_WITH_ERRORS")
        async with site.daemon(WATCHER_SERVER__PORT=port):
            await site.until(lambda: results)

    assert results[0].returncode == 3
    assert json.loads(results[0].stdout) == [
        {"task_id": "task_1", "status": "COMPLETED_WITH_ERRORS"}
    ]


async def test_exit_codes_of_wait(site: Site) -> None:
    site.upstream.set("good", "COMPLETED")
    site.upstream.set("slow", "IN_PROGRESS")
    async with site.daemon() as daemon:
        codes = {
            "good": (await site.command(daemon, "wait", "good")).returncode,
            "timed out": (
                await site.command(daemon, "wait", "good", "slow", "--timeout", "300ms")
            ).returncode,
            "refused": (await site.command(daemon, "wait", "a/b")).returncode,
        }
    codes["no daemon"] = (await site.command(daemon, "wait", "good")).returncode
    assert codes == {"good": 0, "timed out": 124, "refused": 4, "no daemon": 4}


async def test_sighup_reads_the_configuration_again_and_a_bad_one_changes_nothing(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "watcher.yaml"
    path.write_text("log: {level: info}\n")
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon(WATCHER_CONFIG=str(path)) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: types(site) == ["task.in_progress"])
        path.write_text("log: {levell: info}\n")
        daemon.process.send_signal(signal.SIGHUP)
        await site.until(
            lambda: any("nothing was changed" in line for line in daemon.messages("error"))
        )
        path.write_text("telemetry: {host: 127.0.0.1, port: 0}\n")
        daemon.process.send_signal(signal.SIGHUP)
        await site.until(
            lambda: (
                "a change to telemetry needs a restart; the old value is kept" in daemon.messages()
            )
        )
        await site.until(lambda: "configuration reloaded" in daemon.messages())
        site.upstream.set("task_1", "COMPLETED")
        await site.until(lambda: types(site) == ["task.in_progress", "task.completed"])
        assert await daemon.stop() == 0


async def test_deliveries_that_failed_are_shown_and_retried(site: Site) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="no")

    site.receiver.fault = broken
    site.upstream.set("task_1", "COMPLETED")
    channel = json.loads(site.environ["WATCHER_CHANNELS"])[0] | {"attempts": ["0s", "0s"]}
    async with site.daemon(WATCHER_CHANNELS=json.dumps([channel])) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: len(site.receiver.received) == 2)

        async def failed() -> list[dict[str, str]]:
            shown = await site.command(daemon, "deliveries", "--state", "failed", "--json")
            items: list[dict[str, str]] = json.loads(shown.stdout)
            return items

        with anyio.fail_after(PATIENCE):
            while not (items := await failed()):
                await anyio.sleep(0.05)
        assert items[0]["last_error"] == "HTTP 500: no"
        site.receiver.fault = None
        assert (await site.command(daemon, "retry", str(items[0]["id"]))).returncode == 0
        await site.until(lambda: types(site) == ["task.completed"])


async def test_ten_thousand_tasks_make_no_more_series_than_ten(site: Site) -> None:
    async def exposed(daemon: Daemon, count: int) -> dict[str, float]:
        """Return every series once all tasks were seen."""
        for number in range(count):
            status = "FAILED" if number % 2 else "IN_PROGRESS"
            site.upstream.set(f"task_{number}", status, error_message=f"text {number % 50}")
        for start in range(0, count, 1000):
            await add(
                daemon, *(f"task_{number}" for number in range(start, min(start + 1000, count)))
            )
        async with (
            httpx.AsyncClient(base_url=daemon.url, trust_env=False) as client,
            asyncio.timeout(PATIENCE),
        ):
            while True:
                lines = (await client.get("/metrics")).text.splitlines()
                series = {
                    name: float(value)
                    for name, _, value in (one.rpartition(" ") for one in lines)
                    if name[:1] != "#"
                }
                if (
                    sum(
                        value
                        for name, value in series.items()
                        if name.startswith("watcher_transitions_total")
                    )
                    == count
                ):
                    return series
                await asyncio.sleep(0.05)

    no_task_route = json.dumps([{"channels": ["backend"], "events": ["source.*"]}])
    async with site.daemon(WATCHER_ROUTES=no_task_route) as daemon:
        few = await exposed(daemon, 10)
        many = await exposed(daemon, 10_000)
    assert many.keys() == few.keys()


async def test_no_secret_is_logged_shown_or_handed_over_as_an_argument(
    site: Site, tmp_path: Path
) -> None:
    canary = "canary-7f3a9c"
    secret = "whsec_" + base64.b64encode(canary.encode() * 3).decode()
    given = {"wrong-key": canary, "token": canary, "secret": secret, "url": f"{site.hook}?{canary}"}
    for name, text in given.items():
        (tmp_path / name).write_text(text)
    closed = f"http://127.0.0.1:1/services/T0/B0/{canary}"
    channels: list[dict[str, object]] = [
        {
            "name": "backend",
            "type": "webhook",
            "url_file": f"{tmp_path}/url",
            "secrets_file": f"{tmp_path}/secret",
            "headers": {"authorization": f"Bearer {canary}"},
        },
        {"name": "slack", "type": "slack", "url": closed},
        {
            "name": "proxied",
            "type": "slack",
            "url": closed,
            "proxy": f"http://me:{canary}@127.0.0.1:1",
        },
        {
            "name": "bot",
            "type": "slack",
            "bot_token": f"xoxb-{canary}",
            "slack_channel": "C1",
            "api_url": "http://127.0.0.1:1/",
        },
        {"name": "mail", "type": "apprise", "url": f"json://me:{canary}@127.0.0.1:1/{canary}"},
    ]
    upstream = site.environ["MIXPEEK_BASE_URL"]
    settings = {
        "WATCHER_SOURCES": json.dumps(
            [
                {"base_url": upstream},
                {"name": "locked", "api_key_file": f"{tmp_path}/wrong-key", "base_url": upstream},
            ]
        ),
        "WATCHER_CHANNELS": json.dumps(channels),
        "WATCHER_ROUTES": json.dumps([{"channels": [one["name"] for one in channels]}]),
        "WATCHER_SERVER__API_TOKEN_FILE": f"{tmp_path}/token",
        "WATCHER_LOG__LEVEL": "debug",
    }
    site.upstream.set("task_1", "FAILED", error="boom")
    async with site.daemon(**settings) as daemon:
        token = {"authorization": f"Bearer {canary}"}
        await add(daemon, "task_1", headers=token)
        async with httpx.AsyncClient(base_url=daemon.url, trust_env=False, headers=token) as client:
            await client.post("/v1/watches", json={"task_id": "task_2", "source": "locked"})
            with anyio.fail_after(60):  # each channel was attempted, and the invalid key rejected
                while True:
                    deliveries = (await client.get("/v1/deliveries")).json()["items"]
                    tried = {one["channel"] for one in deliveries if one["last_error"]}
                    if len(tried) == len(channels) and any("locked" in line for line in daemon.log):
                        break
                    await anyio.sleep(0.05)
            paths = [
                "/metrics",
                "/healthz",
                "/v1/watches",
                "/v1/deliveries",
                "/v1/channels",
                "/openapi.json",
            ]
            paths += [f"/v1/deliveries/{one['id']}" for one in deliveries]
            exposed = [(await client.get(path)).text for path in paths]
        exposed.append(await anyio.Path(f"/proc/{daemon.process.pid}/cmdline").read_text())
        assert await daemon.stop() == 0
    tested = await site.command(None, "channels", "test", **settings)
    assert tested.returncode == 1
    shown = await site.command(None, "config", "show", **settings)
    exposed += [text.decode() for one in (tested, shown) for text in (one.stdout, one.stderr)]
    for form in (canary, secret, secret.removeprefix("whsec_")):
        assert form not in "\n".join([*exposed, *daemon.log])


async def test_a_secret_that_changes_in_its_file_signs_without_a_restart(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "secrets"
    file.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    backend = {"name": "backend", "type": "webhook", "url": site.hook, "secrets_file": str(file)}
    site.upstream.set("task_1", "PENDING")
    site.upstream.set("task_2", "PENDING")
    async with site.daemon(WATCHER_CHANNELS=json.dumps([backend])) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: site.receiver.received)
        file.write_text("whsec_no")
        await site.until(lambda: any("nothing was changed" in line for line in daemon.log))
        fresh = tmp_path / "fresh"
        fresh.write_text(SECRET)
        fresh.rename(file)
        await site.until(lambda: any("configuration reloaded" in line for line in daemon.log))
        await add(daemon, "task_2")
        await site.until(lambda: any(one.verified for one in site.receiver.received))
        assert await daemon.stop() == 0
    assert not site.receiver.received[0].verified


async def test_a_channel_is_paused_and_resumed_from_the_command_line_over_a_restart(
    site: Site,
) -> None:
    site.upstream.set("task_1", "FAILED")
    async with site.daemon() as daemon:
        paused = await site.command(daemon, "channels", "pause", "backend", "--reason", "it moves")
        assert paused.stdout == b"paused; 0 deliveries pending\n"
        await add(daemon, "task_1")
        assert (await site.command(daemon, "wait", "task_1", "--timeout", "30s")).returncode == 1
        assert await daemon.stop() == 0
    async with site.daemon() as daemon:
        (shown,) = json.loads((await site.command(daemon, "channels", "ls", "--json")).stdout)
        assert (shown["state"], shown["reason"], shown["pending"]) == ("paused", "it moves", 1)
        assert site.receiver.received == []
        resumed = await site.command(daemon, "channels", "resume", "backend")
        assert resumed.returncode == 0
        await site.until(lambda: types(site) == ["task.failed"])
        assert await daemon.stop() == 0


async def test_a_receiver_that_says_410_receives_nothing_more_until_it_is_resumed(
    site: Site,
) -> None:
    site.receiver.fault = answers(410, "gone")
    site.upstream.set("task_1", "FAILED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: any("is stopped" in line for line in daemon.log))
        site.receiver.fault = None
        site.upstream.set("task_2", "FAILED")
        await add(daemon, "task_2")
        assert (await site.command(daemon, "wait", "task_2", "--timeout", "30s")).returncode == 1
        assert len(site.receiver.received) == 1
        assert (await site.command(daemon, "channels", "resume", "backend")).returncode == 0
        await site.until(lambda: len(site.receiver.accepted()) == 2)
        (delivery,) = [
            one
            for one in json.loads((await site.command(daemon, "deliveries", "--json")).stdout)
            if one["task_id"] == "task_1"
        ]
        history = json.loads(
            (await site.command(daemon, "attempts", str(delivery["id"]), "--json")).stdout
        )
        assert [(one["status"], one["answer"]) for one in history] == [(410, "gone"), (204, None)]
        assert await daemon.stop() == 0
