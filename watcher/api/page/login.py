"""Log-in with the API token, and log-out."""

import os
import time
from urllib.parse import parse_qs

from fastapi import Request, Response
from starlette.responses import RedirectResponse
from starlette.types import Scope

from watcher.api.clients import group_of, peer_of
from watcher.api.dependencies import Running
from watcher.api.page import session
from watcher.api.page.access import has_session, set_session
from watcher.api.page.paths import safe_next
from watcher.api.page.rendering import rendered
from watcher.api.page.router import PageRouter
from watcher.api.peers import Logged
from watcher.api.problems import Problem
from watcher.core.settings import Settings

MOST_FIELDS = 100
"""Fields of a form."""

login = PageRouter()


def login_form(scope: Scope, target: str, *, status: int, error: str | None = None) -> Response:
    """Return the form, which leads to `target`, an address relative to the overview."""
    context = {"target": safe_next(target), "error": error}
    return rendered(scope, "login.html", context, status=status)


@login.page("/login")
async def show_login(request: Request, daemon: Running) -> Response:
    """Show the form; to those who need none, the overview."""
    token = daemon.settings.server.api_token
    if token is None or has_session(request.scope, token):
        return redirect("./")
    return login_form(request.scope, request.query_params.get("next", ""), status=200)


@login.action("/login")
async def log_in(request: Request, daemon: Running, log: Logged) -> Response:
    """Start a session for those who know the token."""
    form = await form_of(request)
    token, target = daemon.settings.server.api_token, form.get("next", "")
    if token is None:
        return redirect("./")
    if not session.is_token(form.get("token", "").strip(), token.get_secret_value()):
        return _wrong(request, target)
    value = session.mint(token.get_secret_value(), time.time(), os.urandom(12))
    log("logged in to the page as session %s", session.name_of(value))
    response = redirect(f"./{safe_next(target)}")
    secure = is_secure(request.scope, daemon.settings)
    response.headers["set-cookie"] = set_session(request.scope, value, secure=secure)
    return response


@login.action("/logout")
async def log_out(request: Request, daemon: Running) -> Response:
    """End the session in this browser."""
    response = redirect("./login")
    secure = is_secure(request.scope, daemon.settings)
    response.headers["set-cookie"] = set_session(request.scope, "", secure=secure)
    return response


def _wrong(request: Request, target: str) -> Response:
    scope = request.scope
    wait = request.app.state.attempts.wrong(group_of(peer_of(scope)))
    if wait is None:
        return login_form(scope, target, status=401, error="This is not the API token.")
    error = f"Too many wrong tokens. Try again in {wait} s."
    response = login_form(scope, target, status=429, error=error)
    response.headers["retry-after"] = str(wait)
    return response


def redirect(location: str) -> Response:
    """Return a redirect after a form, to an address relative to the one of the request."""
    return RedirectResponse(location, status_code=303)


async def form_of(request: Request) -> dict[str, str]:
    """Return the last value of each field of a form."""
    body = (await request.body()).decode("latin-1")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Problem(422, f"a form has at most {MOST_FIELDS} fields") from None
    return {name: values[-1] for name, values in fields.items()}


def is_secure(scope: Scope, settings: Settings) -> bool:
    """Return whether browsers reach the page with TLS only."""
    external = settings.server.external_url or ""
    return scope["scheme"] == "https" or external.startswith("https:")
