"""Renders templates into responses: with an ETag, compressed, and with the headers of a page."""

import gzip
import hashlib
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import gzip_accepted
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from watcher.api.page import assets
from watcher.api.page.access import raw_path
from watcher.api.page.paths import root_of

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).with_name("templates")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types page"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "same-origin",  # with no-referrer, a browser sends `Origin: null`
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
    "vary": "accept-encoding, cookie",
}
_ASSET_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "vary": "accept-encoding",
}
_GZIP_LEVEL = 4
_NOW = "@now@"
"""Stands for the time of the response, which the ETag does not cover."""


def rendered(
    scope: Scope, template: str, context: Mapping[str, Any], *, status: int = 200
) -> Response:
    """Return the page that `template` makes of `context`; 304 without a body if it is known."""
    frame = {"root": root_of(raw_path(scope)), "asset": assets.address_of, "now": _NOW}
    text = environment().get_template(template).render(frame | dict(context))
    etag = f'W/"{hashlib.sha256(text.encode()).hexdigest()[:20]}"'
    known = Headers(scope=scope).get("if-none-match", "")
    if status == 200 and etag in known:
        return Response(status_code=304, headers=_HEADERS | {"etag": etag})
    body = text.replace(_NOW, f"{time.time():.3f}", 1).encode()
    headers = _HEADERS | ({"etag": etag} if status == 200 else {})
    if _accepts_gzip(scope):
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers, "text/html; charset=utf-8")


def asset_response(scope: Scope, name: str) -> Response | None:
    """Return an asset of the page; None if no asset has this name."""
    found = assets.content_of(name)
    if found is None:
        return None
    body, media_type = found
    if not _accepts_gzip(scope):
        return Response(body, headers=_ASSET_HEADERS, media_type=media_type)
    headers = _ASSET_HEADERS | {"content-encoding": "gzip"}
    return Response(_packed(name), headers=headers, media_type=media_type)


@cache
def _packed(name: str) -> bytes:
    found = assets.content_of(name)
    return gzip.compress(found[0] if found else b"", mtime=0)


def _accepts_gzip(scope: Scope) -> bool:
    return gzip_accepted(Headers(scope=scope).get("accept-encoding", ""))


@cache
def environment() -> "Environment":
    """Return the templates. Imported with the first page: many watchers show none."""
    import jinja2

    from watcher.api.page import filters

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=filters.shown,
    )
    templates.filters |= filters.FILTERS
    templates.globals |= filters.GLOBALS
    return templates
