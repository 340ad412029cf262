"""Each page over the real store: its form, its links, and that it shows what it is to show."""

import gzip
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.api.harness import BASE, FakeDaemon, opened, outbox_of_two
from tests.api.page.pages import checked, reached
from tests.support.records import settled
from watcher.api.page.paths import NAVIGATION
from watcher.core.clock import rfc3339
from watcher.core.deliveries import DeliveryState
from watcher.core.status import RuleStatus, Status

NOW = 1_700_000_000.0
pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-at-least-16"
PATHS = ["/" if link == "./" else f"/{link}" for link, _ in NAVIGATION]


@pytest.mark.parametrize("path", PATHS)
async def test_each_page_is_shown_without_and_with_content(
    path: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    checked(await api.get(path))
    await outbox_of_two(daemon, api)
    response = await api.get(path)
    page = checked(response)
    assert [link["href"] for link in page.of("a") if link.get("aria-current") == "page"] == [
        ("./" + path.lstrip("/")) if path != "/" else "././"
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_every_link_is_answered(
    path: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    response = await api.get(path)
    links = reached(checked(response), response.url)
    for link in sorted(links):
        answer = await api.get(link)
        assert answer.status_code in (200, 303), link


async def test_a_page_that_is_known_is_not_sent_again(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    first = await api.get("/channels")
    again = await api.get("/channels", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]

    await daemon.pause("backend", "because")
    changed = await api.get("/channels", headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200
    assert "because" in changed.text


async def test_pages_are_compressed_where_that_is_accepted(api: httpx.AsyncClient) -> None:
    plain = await api.get("/channels", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with api.stream("GET", "/channels", headers={"accept-encoding": "gzip"}) as packed:
        body = b"".join([part async for part in packed.aiter_raw()])
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] == plain.headers["etag"]
    assert len(gzip.decompress(body)) == len(plain.content)


async def test_head_is_answered(api: httpx.AsyncClient) -> None:
    assert (await api.head("/")).status_code == 200


async def test_a_method_that_a_page_does_not_have(api: httpx.AsyncClient) -> None:
    response = await api.request("DELETE", "/channels", headers={"sec-fetch-site": "same-origin"})
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]


async def test_the_time_of_the_server_is_that_of_the_response(api: httpx.AsyncClient) -> None:
    before = time.time()
    page = checked(await api.get("/"))
    assert before - 1 <= float(page.of("html")[0]["data-now"] or 0) <= time.time() + 1


async def test_assets_are_kept_for_a_year_under_the_address_of_their_content(
    api: httpx.AsyncClient,
) -> None:
    response = await api.get("/")
    links = [link for link in reached(checked(response), response.url) if "/static/" in link]
    assert len(links) >= 2
    for link in links:
        asset = await api.get(link)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert "?v=" in link


@pytest.mark.parametrize("name", ["none.css", "..%2Frendering.py", "idiomorph.LICENSE"])
async def test_no_other_file_is_served(name: str, api: httpx.AsyncClient) -> None:
    assert (await api.get(f"/static/{name}")).status_code == 404


async def test_an_empty_watchlist_names_the_next_command(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    daemon.active = {}
    page = checked(await api.get("/"))
    assert "watcher add task_123 --label team=search" in page.text
    assert "discovery:" in page.text


async def test_the_overview_says_what_needs_attention(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    page = checked(await api.get("/"))
    assert "mixpeek is down" in page.text
    assert "1 delivery to backend failed" in page.text
    assert "need attention" in page.text


async def test_without_a_token_pages_show_commands_and_no_forms(api: httpx.AsyncClient) -> None:
    page = checked(await api.get("/channels"))
    assert "watcher channels pause backend" in page.text
    assert [form for form in page.of("form") if form.get("method") == "post"] == []
    assert "Read only" in page.text


async def test_no_page_shows_a_secret(tmp_path: Path) -> None:
    secret = "whsec_" + "c2VjcmV0" * 6
    channels = (
        '[{"name": "backend", "type": "webhook", "secrets": ["' + secret + '"],'
        ' "url": "https://x.example/hooks/T0PSECRETPATH?key=Q0zzkeyvalue"}]'
    )
    variables = {"WATCHER_CHANNELS": channels, "WATCHER_API_TOKEN": TOKEN}
    async with opened(tmp_path, **variables) as (daemon, api):
        api.headers["authorization"] = f"Bearer {TOKEN}"
        await outbox_of_two(daemon, api)
        for path in PATHS:
            page = await api.get(path)
            assert page.status_code == 200
            for hidden in (secret, TOKEN, "T0PSECRETPATH", "Q0zzkeyvalue", "c2VjcmV0"):
                assert hidden not in page.text, path
        assert "https://x.example/…" in (await api.get("/channels")).text


async def test_the_settings_are_those_of_the_last_reload(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    assert "max_interval: 30.0" in (await api.get("/settings")).text
    polling = daemon.settings.polling.model_copy(update={"max_interval": 7.0})
    daemon.settings = daemon.settings.model_copy(update={"polling": polling})
    assert "max_interval: 7.0" in (await api.get("/settings")).text


async def test_the_sources_show_their_last_error_and_what_rules_found(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    now = await daemon.status()
    rule = RuleStatus(
        name="0 tasks",
        source="mixpeek",
        every=60.0,
        last_run_at=NOW,
        error=None,
        truncated=False,
        last_found=3,
        last_found_at=NOW - 60,
    )
    source = replace(now.sources[0], last_error="HTTP 502: <bad>", last_error_at=NOW - 30)
    shown = replace(now, sources=[source], rules=[rule])

    async def status() -> Status:
        return shown

    daemon.status = status  # type: ignore[method-assign]
    page = checked(await api.get("/sources"))
    assert "HTTP 502: <bad>" in page.text
    assert "last found 3 new tasks 2023-11-14 22:12:20 UTC" in page.text
    answer = (await api.get("/v1/status")).json()
    assert answer["sources"][0]["last_error_at"] == "2023-11-14T22:12:50.000000Z"
    assert answer["discovery"][0]["last_found"] == 3


@pytest.mark.parametrize("path", ["/", "/channels"])
async def test_channels_show_when_they_delivered_last(
    path: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    await daemon.store.settle([settled(2, DeliveryState.DELIVERED)])
    (delivered_at,) = (await daemon.store.last_delivered()).values()
    page = checked(await api.get(path))
    assert "Last delivered" in page.text
    shown = [time["datetime"] for time in page.of("time")]
    assert rfc3339(delivered_at) in shown


async def test_an_error_of_a_page_is_a_page(api: httpx.AsyncClient) -> None:
    page = checked(await api.get("/static/none"), 404)
    assert "there is no none" in page.text


@pytest.mark.parametrize(
    ("modules", "not_imported"),
    [
        ("watcher.daemon.serve", ("watcher.api.page.rendering", "jinja2", "fastapi")),
        ("watcher.daemon.serve, watcher.api.app", ("jinja2", "markupsafe")),
    ],
    ids=["no request", "the API alone"],
)
def test_a_daemon_that_shows_no_page_imports_nothing_for_it(
    modules: str, not_imported: tuple[str, ...]
) -> None:
    code = (
        f"import sys, {modules};"
        f" sys.exit(any(name.startswith({not_imported!r}) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("port", "option"), [("0", f" --url {BASE}"), ("9090", "")])
async def test_commands_have_the_url_where_no_setting_has_it(
    port: str, option: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, WATCHER_SERVER__PORT=port) as (_, api):
        page = checked(await api.get("/channels"))
        assert f"watcher channels pause backend{option}\n" in page.text
        settings = checked(await api.get("/settings"))
        assert "watcher config show prints" in settings.text
