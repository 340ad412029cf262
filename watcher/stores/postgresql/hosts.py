"""Connects to one of the hosts that a URL names, such as `postgresql://me@first,second/database`:
to the one that accepts writes, whichever it is after a failover.
"""

import socket
from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import anyio
import asyncpg

Connected: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_NEXT_AFTER = 1.0
"""Seconds without an answer after which there is another attempt: at the next host, and at the same
one.
"""
_DEAD_AFTER = 5
"""Seconds without a packet after which the system ends a connection. A server that is only slow
acknowledges what it gets.
"""
_KEPT_ALIVE = {
    "TCP_KEEPIDLE": 2,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": _DEAD_AFTER - 2,
    "TCP_USER_TIMEOUT": _DEAD_AFTER * 1000,
}
_TARGET = "target_session_attrs"
ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ValueError,
)
"""What a connection attempt may raise."""


class Connector:
    """Opens connections; a pool calls it as it would call `asyncpg.connect`, whose errors it
    raises. Of several hosts, the one that has accepted the last connection is tried first.
    """

    def __init__(self, url: str) -> None:
        self._urls = _urls_of_hosts(url)
        self._target: dict[str, Any] = {}
        if len(self._urls) > 1 and _TARGET not in parse_qs(urlsplit(url).query):
            self._target = {_TARGET: "read-write"}  # nothing can be stored at a standby

    async def __call__(self, *_url: str, **options: Any) -> Connected:
        attempts = _Attempts(options | self._target)
        try:
            await attempts.at(self._urls)
            if not attempts.opened:
                raise _clearest(attempts.errors)
            url, chosen = attempts.opened.pop()
        finally:
            for _, unused in attempts.opened:
                unused.terminate()
        self._urls = sorted(self._urls, key=lambda one: one != url)
        _keep_alive(chosen)
        return chosen


class _Attempts:
    """Attempts to connect, of which the first that succeeds ends the others."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.opened: list[tuple[str, Connected]] = []
        self.errors: list[Exception] = []

    async def at(self, urls: Sequence[str]) -> None:
        """Try the hosts of these URLs; a host that is silent holds up no other."""
        async with anyio.create_task_group() as tasks:
            for url in urls:
                ended = anyio.Event()
                tasks.start_soon(self._at_host, url, ended, tasks.cancel_scope)
                with anyio.move_on_after(_NEXT_AFTER):
                    await ended.wait()

    async def _at_host(self, url: str, ended: anyio.Event, others: anyio.CancelScope) -> None:
        """Try one host. The first attempt has all the time, because the server may be slow; beside
        it there is a new one each second, because the network may have lost the first.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._once, url, {}, tasks.cancel_scope)
            await anyio.sleep(_NEXT_AFTER)
            while True:
                await self._once(url, {"timeout": _NEXT_AFTER}, tasks.cancel_scope)
        if self.opened:
            others.cancel()
        ended.set()

    async def _once(self, url: str, limit: dict[str, Any], decided: anyio.CancelScope) -> None:
        try:
            self.opened.append((url, await asyncpg.connect(url, **self._options | limit)))
        except ERRORS as error:
            if limit and isinstance(error, TimeoutError):
                return
            self.errors.append(error)
        decided.cancel()


def _urls_of_hosts(url: str) -> list[str]:
    """Return a URL for each host: of those before the path, or of the option `host`."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," in hosts:
        return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]
    options = dict(parse_qsl(parts.query))
    named, ports = options.get("host", "").split(","), options.get("port", "").split(",")
    if hosts or len(named) == 1 or len(ports) not in (1, len(named)):
        return [url]
    each = zip(named, ports * len(named), strict=False)
    chosen = [options | {"host": host} | ({"port": port} if port else {}) for host, port in each]
    return [parts._replace(query=urlencode(one)).geturl() for one in chosen]


def _clearest(errors: list[Exception]) -> Exception:
    """Return the error of a host that may be the one; a standby is only not the right one."""
    unequal = asyncpg.TargetServerAttributeNotMatched
    return next((error for error in errors if not isinstance(error, unequal)), errors[0])


def _keep_alive(connection: Any) -> None:
    """Let the system find out that the other end is gone; the driver has no option for that."""
    opened = connection._transport.get_extra_info("socket")
    if opened is None or opened.family == getattr(socket, "AF_UNIX", None):
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEPT_ALIVE.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
