"""HTTP/1.1 as uvicorn speaks it, with limits on what a client sends and on what that costs."""

import logging
import re
from collections.abc import Callable

import h11
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from watcher.api.hardening import SECURITY_HEADERS, hardened
from watcher.api.limits import BODY_LIMIT, HEADER_LIMIT
from watcher.api.problems import Problem, response
from watcher.api.turns import metered

HEADERS_LIMIT = 100
"""Header lines of a request."""
CHUNKS_LIMIT = 4096
"""Chunks of a body."""
FRAMING_LIMIT = 64 * 1024
"""Bytes of a body's chunk headers, extensions and trailers."""
EVENTS_PER_TURN = 64
"""Events of h11 in one turn; one costs about 20 µs."""

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_CLOSE = (b"connection", b"close")
_SILENT = logging.Logger("uvicorn", logging.CRITICAL + 1)


class Parser(h11.Connection):
    """h11 that parses a part per turn, and ends requests with too many lines, chunks or bytes."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEADER_LIMIT)
        self.error: h11.RemoteProtocolError | None = None
        self.received = 0
        """Bytes of the body that is being received, with its framing."""
        self._chunks = 0
        self._events = 0

    @property
    def receiving(self) -> bool:
        """Whether the client has not finished the body of a request."""
        return self.their_state is h11.SEND_BODY

    @property
    def unfinished(self) -> bool:
        """Whether the client may be sending something that is not read any more."""
        return self.their_state in (h11.SEND_BODY, h11.ERROR) or self.error is not None

    def begin_turn(self) -> None:
        """Parse again."""
        self._events = EVENTS_PER_TURN

    def end_turn(self) -> bool:
        """Parse no more until the next turn; return whether it ended before the input did."""
        ended_early = self._events <= 0
        self._events = 0
        return ended_early

    def receive_data(self, data: bytes) -> None:
        """Take what the client has sent."""
        if self.receiving:
            self.received += len(data)
        super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, or `NEED_DATA` at the end of a turn.

        Raises `h11.RemoteProtocolError` with the status of the response.
        """
        if self._events <= 0:
            return h11.NEED_DATA
        self._events -= 1
        try:
            if self.their_state is h11.IDLE:
                self._check_head()
            event = super().next_event()
            self._check_body(event)
        except h11.RemoteProtocolError as error:
            self.error = error
            raise
        return event

    def _check_head(self) -> None:
        # Before h11 parses it, which is what costs.
        head = self.trailing_data[0]
        end = _END_OF_HEAD.search(head)
        if head.count(b"\n", 0, end.start() if end else len(head)) > HEADERS_LIMIT:
            raise h11.RemoteProtocolError("too many headers", 431)

    def _check_body(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self.received, self._chunks = len(self.trailing_data[0]), 0
        elif isinstance(event, h11.Data) and event.chunk_end:
            self._chunks += 1
        if self.receiving and (
            self._chunks > CHUNKS_LIMIT or self.received > BODY_LIMIT + FRAMING_LIMIT
        ):
            raise h11.RemoteProtocolError("the body has too many bytes or chunks", 413)


class HttpProtocol(H11Protocol):
    """One connection. What the client does wrong costs no log line each, and closes it."""

    conn: Parser

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        *,
        clock: Callable[[], float],
        charge: Callable[[float], None],
        rejected: Callable[[str], None],
        failed: Callable[[Exception], None],
        answered: Callable[[], None],
    ) -> None:
        super().__init__(config, server_state, {})
        self.conn = Parser()
        self.logger = _SILENT  # it logs what each client does wrong
        self._clock = clock
        self._charge = charge
        self._rejected = rejected
        self._failed = failed
        self._answered = answered
        self._api: ASGIApp = self.app
        self.app = self._run

    @property
    def working(self) -> bool:
        """Whether a request has begun whose response is not complete."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _should_upgrade(self) -> bool:
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 cannot parse, or what exceeds a limit, and close the connection."""
        error = self.conn.error
        status = error.error_status_hint if error else 400
        self._rejected("sent too much" if status in (413, 431) else "sent no valid request")
        if self.working:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        text = str(error) if status in (413, 431) else "not a valid HTTP/1.1 request"
        answer = response(Problem(status, text))
        headers = [
            *answer.raw_headers,
            *SECURITY_HEADERS,
            *self.server_state.default_headers,
            _CLOSE,
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """Go to the next request, in another turn."""
        self._answered()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close the connection after the response that is being sent."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self.transport.abort()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the API for one request."""
        cycle = self.cycle

        async def send_and_close(message: Message) -> None:
            # What is still to come of the body is not read, so the connection ends here.
            if message["type"] == "http.response.start" and cycle.more_body:
                message = {**message, "headers": [*message["headers"], _CLOSE]}
            await send(message)

        try:
            await metered(
                self._api(scope, receive, hardened(send_and_close)), self._clock, self._charge
            )
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001  # uvicorn would log each with its traceback
            self._failed(error)
            if not cycle.response_started:
                await cycle.send_500_response()
            elif not cycle.response_complete:
                self.transport.abort()
