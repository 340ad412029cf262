"""Reads a page as a browser does."""

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

_LINKING = ("href", "action", "src", "data-root", "data-live", "formaction")


class Page(HTMLParser):
    """The tags, addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[str] = []
        self.text = ""
        self.inline: list[str] = []
        self._within: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        self._within = tag
        self.links += [value or "" for name, value in attrs if name in _LINKING]
        self.inline += [name for name in named if name.startswith("on") or name == "style"]
        if tag == "script" and not named.get("src"):
            self.inline.append("script")

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(f"{self._within}: {data}")
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def checked(response: httpx.Response, status: int = 200) -> Page:
    """Return a page after checking what holds for each of them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    page = Page(response.text)
    assert page.inline == []
    assert [link for link in page.links if _is_absolute(link)] == []
    assert len(page.of("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), ids
    return page


def _is_absolute(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.scheme or parts.netloc) or link.startswith("/")


def reached(page: Page, url: httpx.URL) -> set[str]:
    """Return the addresses on this host to which the links of a page lead."""
    found = {urljoin(str(url), link).partition("#")[0] for link in page.links}
    forms = {urljoin(str(url), form["action"] or "") for form in page.of("form") if form["action"]}
    return found - forms
