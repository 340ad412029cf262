"""An upstream as cheap as Python allows, in a process of its own: every task is IN_PROGRESS, for ever.

python -m bench.upstream PORT_FILE
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

_BODY = (
    b'{"task_id":"%s","task_type":"api_x","status":"IN_PROGRESS","inputs":null,"outputs":null,"additional_data":null}'
)


class Connection(asyncio.Protocol):
    """Takes GET requests without a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        for request in data.split(b"\r\n\r\n")[:-1]:
            body = _BODY % request.split(b" ", 2)[1].rpartition(b"/")[2]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def main(port_file: Path) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[1])))
