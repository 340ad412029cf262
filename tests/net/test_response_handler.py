"""A connection whose peer has closed it, without a socket."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from watcher.net.loop_share import PIECE
from watcher.net.response_handler import WatchedResponseHandler

pytestmark = pytest.mark.anyio

_CHUNKS = 20 * PIECE // 6
_ANSWER = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + _CHUNKS * b"1\r\nx\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def ended(end: bytes) -> WatchedResponseHandler:
    """Return a connection that was closed after a whole answer in one read."""
    handler = WatchedResponseHandler(asyncio.get_running_loop())
    transport = Transport()
    handler.connection_made(transport)
    handler.set_response_params(read_bufsize=2**20)
    handler.data_received(_ANSWER + end)
    handler.eof_received()
    transport.close()
    handler.connection_lost(None)
    return handler


async def test_what_waits_when_the_peer_closes_is_processed_in_pieces() -> None:
    handler = await ended(b"0\r\n\r\n")
    assert handler.received_bytes <= PIECE
    with anyio.fail_after(5):
        message, body = await handler.read()
        assert message.code == 200
        assert await body.read() == b"x" * _CHUNKS
    assert not handler.is_connected()


async def test_an_answer_that_lacks_its_end_fails_after_what_has_arrived() -> None:
    handler = await ended(b"")
    with anyio.fail_after(5):
        _, body = await handler.read()
        with pytest.raises(Exception, match="not completed"):
            await body.read()
    assert handler.received_bytes == len(_ANSWER)


@pytest.mark.parametrize(
    "close", [WatchedResponseHandler.close, WatchedResponseHandler.abort], ids=["close", "abort"]
)
async def test_a_connection_that_is_not_needed_ends_at_once(
    close: Callable[[WatchedResponseHandler], None],
) -> None:
    handler = await ended(b"")
    closed = handler.closed
    close(handler)
    assert closed is not None
    with anyio.fail_after(5):
        await closed
    assert handler.received_bytes <= PIECE


async def test_what_follows_a_response_closes_the_connection_before_another_request_takes_it() -> (
    None
):
    handler = WatchedResponseHandler(asyncio.get_running_loop())
    handler.connection_made(Transport())
    handler.set_response_params(read_bufsize=2**20)
    handler.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert handler.is_connected()
    handler.data_received(b"x" * (2 * PIECE))  # more than is processed at once
    assert not handler.is_connected()
