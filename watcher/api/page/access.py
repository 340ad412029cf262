"""Who may see a page, and which requests for one come from a page of someone else."""

import time
from collections.abc import Collection

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from watcher.api.origins import Authority, is_foreign
from watcher.api.page import session
from watcher.api.page.paths import LOGIN, STATIC
from watcher.api.problems import Problem

FORM = "application/x-www-form-urlencoded"
_READING = frozenset({"GET", "HEAD"})
_NAVIGATES = "navigate"
_AGAIN = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>watcher</title>'
    '<meta http-equiv="refresh" content="0">'
)
"""A browser that follows a link of another site leaves out a cookie with `SameSite=Strict`. It
sends it when this page, which is of the same site, loads the address again."""


def foreign_request(
    scope: Scope,
    host: Authority | None,
    origins: Collection[str],
    sites: Collection[str],
    proxied: str | None = None,
) -> Problem | None:
    """Return why a request for a page is rejected; None if it is not. `proxied` is the origin at
    which a proxy serves it, where that is known.

    A link of another site may lead to a page. A form has to come from one of our pages.
    """
    if scope["method"] in _READING:
        navigates = Headers(scope=scope).get("sec-fetch-mode") == _NAVIGATES
        if is_foreign(host, origins, () if navigates else sites, [proxied] if proxied else ()):
            return Problem(403, "a page of another origin cannot read this one")
        return None
    own = [one for one in origins if one == proxied or not is_foreign(host, [one], (), ())]
    if session.sent_by_page(sites, origins, own):
        return None
    return Problem(403, "this form was not sent by a page of the watcher; see server.external_url")


def login_response(scope: Scope, token: SecretStr) -> Response | None:
    """Return what a request for a page gets instead without a session; None if it has one."""
    path = scope["path"]
    if path == LOGIN or path.startswith(STATIC) or has_session(scope, token):
        return None
    headers = Headers(scope=scope)
    arrives = headers.get("sec-fetch-site") == "cross-site"
    if scope["method"] in _READING and arrives and headers.get("sec-fetch-mode") == _NAVIGATES:
        return HTMLResponse(_AGAIN)
    from watcher.api.page.login import login_form  # imports the templates' language

    return login_form(scope, next_of(scope), status=401)


def has_session(scope: Scope, token: SecretStr) -> bool:
    """Return whether a request carries a valid session."""
    return bool(session_of(scope, token))


def session_of(scope: Scope, token: SecretStr) -> str | None:
    """Return the valid session that a request carries, if any."""
    now, secret = time.time(), token.get_secret_value()
    name = session.cookie_name(_port(scope))
    for value in _cookies(Headers(scope=scope), name):
        if session.is_valid(value, secret, now):
            return value
    return None


def set_session(scope: Scope, value: str, *, secure: bool) -> str:
    """Return the `Set-Cookie` that starts a session, or ends it where `value` is empty.

    Without a `Path`, a browser takes the folder of the log-in as it sees it: a proxy's prefix.
    """
    age = session.LIFETIME if value else 0
    flags = f"Max-Age={age}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return f"{session.cookie_name(_port(scope))}={value}; {flags}"


def raw_path(scope: Scope) -> str:
    """Return the path of a request before percent-decoding."""
    raw: bytes | None = scope.get("raw_path")
    return (raw or scope["path"].encode()).partition(b"?")[0].decode("latin-1")


def next_of(scope: Scope) -> str:
    """Return the address of a request, relative to the overview."""
    if scope["method"] not in _READING:
        return ""
    query: bytes = scope["query_string"]
    return raw_path(scope).lstrip("/") + (f"?{query.decode('latin-1')}" if query else "")


def _port(scope: Scope) -> int | None:
    server = scope.get("server")
    return None if server is None else server[1]


def _cookies(headers: Headers, name: str) -> list[str]:
    # There may be one of each folder above this page.
    pairs = [pair.strip() for line in headers.getlist("cookie") for pair in line.split(";")]
    return [value for key, _, value in (pair.partition("=") for pair in pairs) if key == name]
