"""Sockets for connections to the internet only.

The address is checked where the connection is made, so it does not matter what a name resolved to
before, or how the host was written.
"""

import socket
from collections.abc import Callable
from typing import Any

from watcher.core.addresses import is_public

SocketFactory = Callable[[tuple[Any, ...]], socket.socket]


class NotPublicError(OSError):
    """An address is not public. The text is the same for each, so that several become one error."""

    def __init__(self) -> None:
        super().__init__("the host has no public address, as deny_private demands")


def public_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an entry of `getaddrinfo`. Raises `NotPublicError`."""
    family, kind, protocol, _, address = address_info
    if not is_public(str(address[0])):
        raise NotPublicError
    return socket.socket(family, kind, protocol)
