"""Disconnects clients that send a request too slowly, or stop reading a response."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN = 20.0
"""Seconds within which a request must arrive, headers and body."""
READ_WITHIN = 30.0
"""Seconds that a response may wait for its reader."""


class TimeoutH11Protocol(H11Protocol):
    """uvicorn's HTTP protocol with timeouts."""

    request_within = REQUEST_WITHIN
    read_within = READ_WITHIN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_timer = _Timer(self.loop)
        self._response_timer = _Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._request_timer.start(self.request_within, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_timer.stop()
        self._response_timer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing():
            self._request_timer.start(self.request_within, self.transport)
        else:
            self._request_timer.stop()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._response_timer.start(self.read_within, self.transport)

    def resume_writing(self) -> None:
        self._response_timer.stop()
        super().resume_writing()


class _Timer:
    """Aborts a connection unless it is stopped in time. Starting it again does not extend it."""

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
    """Return the protocol with these timeouts, in seconds."""
    return type(
        "Protocol",
        (TimeoutH11Protocol,),
        {"request_within": request_within, "read_within": read_within},
    )
