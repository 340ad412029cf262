"""Who sends a request: for the log, and for limits."""

import ipaddress
import logging
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from watcher.core.log_fields import about

logger = logging.getLogger(__name__)


def peer_of(scope: Scope) -> str:
    """Return the address of a request's client; at a Unix socket its user and process."""
    client = scope.get("client")
    return str(client[0]) if client else "an unknown peer"


def at_socket(scope: Scope) -> bool:
    """Return whether a request came through a Unix socket, which no web page can reach."""
    server = scope.get("server")
    return server is not None and server[1] is None


def group_of(peer: str) -> str:
    """Return what one client can be expected to hold of addresses: of IPv6 a network of 64 bits,
    at a Unix socket all processes of a user.
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer.partition(", pid")[0]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


Log = Callable[..., None]


async def _log_of(request: Request) -> Log:
    peer = peer_of(request.scope)

    def log(
        text: str,
        *values: object,
        source: str | None = None,
        channel: str | None = None,
        task_id: str | None = None,
        delivery_id: int | None = None,
    ) -> None:
        fields = about(
            peer=peer, source=source, channel=channel, task_id=task_id, delivery_id=delivery_id
        )
        logger.info(f"%s {text}", peer, *values, extra=fields)

    return log


Logged = Annotated[Log, Depends(_log_of)]
"""Logs what a request ends, removes or sends again: the peer, a text, and values for the text.

Names and IDs of a request are shown with `%.150r`, so that none can forge or flood a log line.
"""
