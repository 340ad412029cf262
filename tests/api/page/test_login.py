"""Log-in, log-out, and whose requests a page accepts."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.api.harness import FakeDaemon, opened
from tests.api.page.pages import checked

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-at-least-16"
OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with opened(tmp_path, WATCHER_API_TOKEN=TOKEN) as pair:
        yield pair


@pytest.fixture
def browser(guarded: tuple[FakeDaemon, httpx.AsyncClient]) -> httpx.AsyncClient:
    return guarded[1]


async def log_in(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    return await browser.post("/login", data={"token": TOKEN, **fields}, headers=OURS)


async def test_without_a_session_a_page_is_the_form_to_log_in(browser: httpx.AsyncClient) -> None:
    response = await browser.get("/channels?x=1")
    page = checked(response, 401)
    (hidden,) = [field for field in page.of("input") if field["name"] == "next"]
    assert hidden["value"] == "channels?x=1"
    assert page.of("form")[0]["action"] == "./login"
    assert "www-authenticate" not in response.headers


async def test_the_form_shows_neither_version_nor_store(browser: httpx.AsyncClient) -> None:
    from watcher import __version__

    text = (await browser.get("/")).text
    assert __version__ not in text
    assert "watcher.db" not in text


async def test_after_the_log_in_pages_are_shown(browser: httpx.AsyncClient) -> None:
    response = await log_in(browser, next="channels?x=1")
    assert response.status_code == 303
    assert urljoin("http://x/login", response.headers["location"]) == "http://x/channels?x=1"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("watcher_session_")
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Path" not in cookie
    assert TOKEN not in cookie
    checked(await browser.get("/"))


async def test_a_session_is_for_pages_alone(browser: httpx.AsyncClient) -> None:
    await log_in(browser)
    assert (await browser.get("/")).status_code == 200
    assert (await browser.get("/v1/watches")).status_code == 401
    assert (await browser.get("/v1/status")).status_code == 401


async def test_the_log_out_ends_it_in_this_browser(browser: httpx.AsyncClient) -> None:
    await log_in(browser)
    response = await browser.post("/logout", headers=OURS)
    assert response.status_code == 303
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert (await browser.get("/")).status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil", "../x", "https://evil.example"])
async def test_a_log_in_leads_nowhere_else(target: str, browser: httpx.AsyncClient) -> None:
    response = await log_in(browser, next=target)
    location = urljoin("http://x/ops/login", response.headers["location"])
    assert location.startswith("http://x/ops/")


async def test_guesses_are_limited_and_the_token_is_accepted_still(
    browser: httpx.AsyncClient,
) -> None:
    wrong = [await browser.post("/login", data={"token": "wrong"}, headers=OURS) for _ in range(11)]
    assert [one.status_code for one in wrong] == [401] * 10 + [429]
    response = wrong[-1]
    assert 0 < int(response.headers["retry-after"]) <= 5
    assert "Try again in" in checked(response, 429).text
    # The guesses of the API count, too.
    guess = {"authorization": "Bearer wrong"}
    assert (await browser.get("/v1/watches", headers=guess)).status_code == 429
    assert (await log_in(browser)).status_code == 303


async def test_a_wrong_token_is_not_shown(browser: httpx.AsyncClient) -> None:
    response = await browser.post("/login", data={"token": "almost-the-token"}, headers=OURS)
    page = checked(response, 401)
    assert "This is not the API token." in page.text
    assert "almost-the-token" not in response.text


async def test_a_bearer_token_counts_as_a_session(browser: httpx.AsyncClient) -> None:
    right, wrong = ({"authorization": f"Bearer {token}"} for token in (TOKEN, "wrong"))
    checked(await browser.get("/", headers=right))
    assert (await browser.get("/", headers=wrong)).status_code == 401


async def test_a_link_of_another_site_is_loaded_again_with_the_cookie(
    browser: httpx.AsyncClient,
) -> None:
    arriving = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    response = await browser.get("/channels", headers=arriving)
    assert response.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in response.text
    assert "set-cookie" not in response.headers
    # The second request is of the same site: with a session the page, without it the form.
    assert (await browser.get("/channels")).status_code == 401
    await log_in(browser)
    checked(await browser.get("/channels", headers=arriving))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"origin": "https://evil.example", "sec-fetch-mode": "navigate"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 403),
        ({}, 200),
    ],
)
async def test_reading_pages_of_another_site(
    headers: dict[str, str], status: int, api: httpx.AsyncClient
) -> None:
    assert (await api.get("/channels", headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"origin": "http://127.0.0.1:8080"}, 303),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8080"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8081"}, 403),
        ({}, 403),
    ],
)
async def test_forms_of_another_site(
    headers: dict[str, str], status: int, browser: httpx.AsyncClient
) -> None:
    response = await browser.post("/login", data={"token": TOKEN}, headers=headers)
    assert response.status_code == status


async def test_a_form_is_no_json(browser: httpx.AsyncClient) -> None:
    response = await browser.post("/login", json={"token": TOKEN}, headers=OURS)
    assert response.status_code == 415


async def test_a_form_has_a_bounded_number_of_fields(browser: httpx.AsyncClient) -> None:
    body = "&".join(f"a{number}=1" for number in range(101))
    kind = {"content-type": "application/x-www-form-urlencoded"}
    response = await browser.post("/login", content=body, headers=OURS | kind)
    checked(response, 422)


async def test_without_a_token_there_is_nothing_to_log_in_to(api: httpx.AsyncClient) -> None:
    assert (await api.get("/login")).status_code == 303
    assert (await api.post("/login", data={"token": "x"}, headers=OURS)).status_code == 303
