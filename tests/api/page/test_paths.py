"""The addresses of pages."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.api.page.paths import address, is_page, root_of, safe_next, segment


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/", "./"),
        ("/tasks", "./"),
        ("/tasks/", "../"),
        ("/tasks/task_1", "../"),
        ("/tasks/a%2Fb", "../"),
        ("/channels/backend/pause", "../../"),
    ],
)
def test_the_root_is_relative(path: str, root: str) -> None:
    assert root_of(path) == root


@given(st.lists(st.text("abc%20._", min_size=1), max_size=6), st.sampled_from(["", "/ops/watcher"]))
def test_the_root_leads_to_the_overview_below_any_prefix(parts: list[str], prefix: str) -> None:
    segments = [part for part in parts if part.strip(".") != ""]
    path = "/" + "/".join(segments)
    assert urljoin(f"http://x{prefix}{path}", root_of(path)) == f"http://x{prefix}/"


@pytest.mark.parametrize(
    "text",
    [
        "/tasks",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "..",
        "../x",
        "tasks/../../x",
        "a b",
        "tasks\n",
        "tasks\x00",
        "tasks#x",
        "ü",
    ],
)
def test_only_an_address_of_a_page_is_one_to_go_to(text: str) -> None:
    assert safe_next(text) == ""


@given(st.text())
def test_whatever_is_sent_stays_below_the_overview(text: str) -> None:
    target = urljoin("http://x/ops/login", f"./{safe_next(text)}")
    assert urlsplit(target).netloc == "x"
    assert urlsplit(target).path.startswith("/ops/")


@pytest.mark.parametrize("text", ["tasks/task_1", "tasks?status=FAILED&q=a%20b", "javascript:1"])
def test_addresses_of_pages_are_kept(text: str) -> None:
    assert safe_next(text) == text


def test_pages_do_not_collide_with_the_api() -> None:
    of_api = ["/v1", "/v1/watches", "/healthz", "/readyz", "/metrics", "/openapi.json", "*", "/x"]
    assert not any(map(is_page, of_api))
    assert all(map(is_page, ["/", "/tasks", "/tasks/x", "/static/page.css", "/login", "/changes"]))


def test_addresses_are_encoded() -> None:
    assert segment("a/b?<ü>") == "a%2Fb%3F%3C%C3%BC%3E"
    assert address("tasks", {"q": "a&b", "status": None}) == "tasks?q=a%26b"
    assert address("tasks", {}) == "tasks"
