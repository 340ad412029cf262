"""Sockets for connections on which little is read."""

import socket
from typing import Any

from watcher.net.public_socket import SocketFactory

RECEIVE_BUFFER = 16 * 1024
"""Bytes that a peer can send before they are read; Linux keeps up to twice as much. The loop reads
all of them at once, so it is also what each connection can take of our memory."""


def plain_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an entry of `getaddrinfo`."""
    family, kind, protocol, _, _ = address_info
    return socket.socket(family, kind, protocol)


def with_small_buffer(make: SocketFactory) -> SocketFactory:
    """Return a factory of such sockets with a small buffer for what arrives."""

    def small(address_info: tuple[Any, ...]) -> socket.socket:
        made = make(address_info)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return made

    return small
