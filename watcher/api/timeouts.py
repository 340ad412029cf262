"""Cuts off clients that hold a connection without getting on: a request that drips in, an answer that nobody reads."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN = 20.0
"""Seconds in which a request has to come, headers and body."""
READ_WITHIN = 30.0
"""Seconds for which an answer may wait to be read on."""


class TimeoutH11Protocol(H11Protocol):
    """uvicorn's HTTP protocol, with an end to its patience."""

    request_within = REQUEST_WITHIN
    read_within = READ_WITHIN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._coming = _Timer(self.loop)
        self._reading = _Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._coming.start(self.request_within, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._coming.stop()
        self._reading.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing():
            self._coming.start(self.request_within, self.transport)
        else:
            self._coming.stop()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.start(self.read_within, self.transport)

    def resume_writing(self) -> None:
        self._reading.stop()
        super().resume_writing()


class _Timer:
    """Breaks a connection off where it is not stopped in time; started again, it keeps its first beginning."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, transport: asyncio.Transport) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(seconds, transport.abort)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def protocol(request_within: float, read_within: float) -> type[TimeoutH11Protocol]:
    """Return the protocol with these limits of patience, in seconds."""
    return type(
        "Protocol",
        (TimeoutH11Protocol,),
        {"request_within": request_within, "read_within": read_within},
    )
