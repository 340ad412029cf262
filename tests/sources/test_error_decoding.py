"""Texts and reasons of error replies."""

import pytest

from watcher.net.exchange import Reply
from watcher.sources.mixpeek.error_decoding import is_api_error, reply_error


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "Task not found"}}', "HTTP 404 Task not found"),
        (b'{"error": "Task not found"}', "HTTP 404 Task not found"),
        (b'{"detail": "Not Found"}', "HTTP 404 Not Found"),
        (b'{"detail": [{"loc": ["body"]}]}', "HTTP 404"),
        (b"{}", "HTTP 404"),
        (b"<html>", "HTTP 404"),
        (b'{"error": "a\\nb\\u001b[2J"}', "HTTP 404 a b [2J"),
        (b'{"error": "' + b"x" * 300 + b'"}', "HTTP 404 " + "x" * 200),
    ],
)
def test_the_text_is_the_apis_own_printable_and_short(body: bytes, text: str) -> None:
    assert str(reply_error(reply(404, body), None)) == text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"success": false}', True),
        (b'{"error": {"message": "x"}}', True),
        (b'{"error": "x"}', False),
        (b'{"detail": "Not Found"}', False),
        (b"<html>", False),
        (b"null", False),
    ],
)
def test_a_404_of_the_api_is_recognised(body: bytes, expected: bool) -> None:
    assert is_api_error(body) is expected


def reply(status: int, body: bytes) -> Reply:
    return Reply(status=status, headers={}, body=body, truncated=False)
