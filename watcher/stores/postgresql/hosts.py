"""Connects to one of the hosts that a URL names, such as `postgresql://me@first,second/database`:
to the one that accepts writes, whichever it is after a failover.
"""

import socket
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import anyio
import asyncpg

Connected: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_NEXT_HOST_AFTER = 1.0
"""Seconds without an answer after which the next host is tried as well."""
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
_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ValueError,
)


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
        if len(self._urls) == 1:
            opened: Connected = await asyncpg.connect(*self._urls, **options)
        else:
            opened = await self._first(options | self._target)
        _keep_alive(opened)
        return opened

    async def _first(self, options: dict[str, Any]) -> Connected:
        """Return the first connection that is open; a host that is silent holds up no other."""
        opened = dict[str, Connected]()
        errors = list[Exception]()

        async def connect(url: str, ended: anyio.Event) -> None:
            try:
                opened[url] = await asyncpg.connect(url, **options)
                tasks.cancel_scope.cancel()
            except _ERRORS as error:
                errors.append(error)
            ended.set()

        try:
            async with anyio.create_task_group() as tasks:
                for url in self._urls:
                    ended = anyio.Event()
                    tasks.start_soon(connect, url, ended)
                    with anyio.move_on_after(_NEXT_HOST_AFTER):
                        await ended.wait()
            if not opened:
                raise _clearest(errors)
            chosen = next(iter(opened))
            self._urls = sorted(self._urls, key=lambda url: url != chosen)
            return opened.pop(chosen)
        finally:
            for unused in opened.values():
                unused.terminate()


def _urls_of_hosts(url: str) -> list[str]:
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]


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
