"""Every kind of page that links lead to: what a page offers next is a page to examine, too."""

import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

from playwright.async_api import Page, Response

EACH = 4
"""Pages of one kind."""
_NO_PAGES = re.compile(r"/(openapi\.json|metrics|static|v1|healthz|readyz|changes)(/|$)")
_STATUSES = (200, 404, 422)
_SELECTING = frozenset(
    {"batch", "channel", "lost", "q", "reason", "since", "stalled", "state", "status", "error"}
)
"""Parameters that select rows of the same page."""


def kind_of(url: str) -> str:
    """Return what stands for all pages that differ only in what they are about."""
    parts = urlsplit(url)
    segments = parts.path.strip("/").split("/")
    if len(segments) > 1:
        segments[1] = "*"
    names = {name for name, _ in parse_qsl(parts.query)}
    return f"{'/'.join(segments)}?{'&'.join(sorted(names - _SELECTING))}"


async def crawl(page: Page, start: str, *, more: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """Go to `start` and to what it links to, `EACH` pages of a kind, and yield each address while
    `page` shows it.
    """
    waiting = [start, *(urljoin(start, path) for path in more)]
    known, kinds = set(waiting), dict.fromkeys(map(kind_of, waiting), 1)
    while waiting:
        url = waiting.pop(0)
        response = await page.goto(url)
        assert isinstance(response, Response)
        assert response.status in _STATUSES, (response.status, url)
        yield url
        for link in await page.eval_on_selector_all(
            "a[href]", "all => all.map(a => a.getAttribute('href'))"
        ):
            found = urldefrag(urljoin(page.url, link)).url
            parts = urlsplit(found)
            here = parts.netloc == urlsplit(start).netloc and not _NO_PAGES.search(parts.path)
            kind = kind_of(found)
            if here and found not in known and kinds.get(kind, 0) < EACH:
                known.add(found)
                kinds[kind] = kinds.get(kind, 0) + 1
                waiting.append(found)
