"""Accepts the connections of a listener, in turns, and not more than it may hold."""

import asyncio
import errno
import socket

from watcher.api import unix_socket
from watcher.api.clients import group_of
from watcher.api.connection import AcceptedConnection
from watcher.api.listener import Listener
from watcher.api.turns import Account

_PAUSE_WITHOUT_FILES = 0.1
"""Seconds until the next attempt when the process can open no more files."""
_PAUSE_WHEN_FULL = 0.01
"""Seconds until the next attempt when every connection is at work; those to come wait for it."""
_AT_ONCE = 16
"""Connections of a turn."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Takes turns as the connections do."""

    def __init__(
        self,
        listener: Listener,
        socket: socket.socket,
    ) -> None:
        self.accounts = (Account(listener.turns.clock),)
        self._listener = listener
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        if not self._closed:
            self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Accept no more."""
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._listener.turns.drop(self)

    def _readable(self) -> None:
        self._loop.remove_reader(self._socket)
        self._listener.turns.want(self)

    def take_turn(self) -> None:
        """Accept some of the connections that wait."""
        for _ in range(_AT_ONCE):
            if self._listener.connections.is_full():
                self._loop.call_later(_PAUSE_WHEN_FULL, self.start)
                return
            try:
                accepted, address = self._socket.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause()
                    return
                break  # none is waiting, or its client is gone
            self._enter(accepted, address)
        self.start()

    def _pause(self) -> None:
        # Without a pause this would be tried again at once, for as long as it fails.
        self._listener.rejections.add("this process", "found no file left to open")
        self._listener.connections.make_room()
        self._loop.call_later(_PAUSE_WITHOUT_FILES, self.start)

    def _enter(self, accepted: socket.socket, address: object) -> None:
        connections = self._listener.connections
        try:
            name = _name(accepted, address)
        except OSError:  # it is gone already
            accepted.close()
            return
        group = group_of(name)
        connection = AcceptedConnection(self._listener, connections.peer(group), name, accepted)
        connections.enter(connection, group)
        connection.wait()


def _name(accepted: socket.socket, address: object) -> str:
    if accepted.family == socket.AF_UNIX:
        return unix_socket.peer_of(accepted)
    if not isinstance(address, tuple):
        return "an unknown peer"
    return str(address[0]).removeprefix("::ffff:")  # IPv4, at a socket for both
