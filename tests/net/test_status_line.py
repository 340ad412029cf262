"""The status of a response is found in whatever pieces the response arrives."""

import pytest

from watcher.net.status_line import StatusLineSearch

INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("response", "statuses"),
    [
        (b"HTTP/1.1 200 OK\r\n", [200]),
        (b"\r\n\nHTTP/1.0 503\r\n", [503]),
        (INTERIM * 2 + b"HTTP/1.1 204 \r\ncontent-length: 0\r\n\r\n", [204]),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 404 Not Found\r\n", [200]),
        (b"HTTP/1.1 200 OK", []),
        (b"HTTP/2 200\r\n", []),
        (INTERIM, []),
        (b"x: y\r\n" * 20_000 + b"HTTP/1.1 200 OK\r\n", []),
    ],
)
def test_the_final_status_is_found_once(response: bytes, statuses: list[int], size: int) -> None:
    found: list[int] = []
    search = StatusLineSearch(found.append)
    step = max(size, len(response) // 1000)
    for start in range(0, len(response), step):
        search.receive(response[start : start + step])
    assert found == statuses
