"""A server that quotes each request in everything it answers: the worst peer for a secret."""

import base64
import html
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import anyio.abc

from tests.support.raw_server import read_request, server


def quoted(head: bytes) -> str:
    """Return a request's head in the spellings that gateways and frameworks use."""
    lines = " ".join(head.decode("latin-1").split("\r\n"))
    return " ".join(
        (
            lines,
            quote(lines, safe=""),
            quote(lines),
            html.escape(lines),
            repr(lines),
            json.dumps(lines).replace("/", r"\/"),
            base64.b64encode(head).decode(),
            base64.urlsafe_b64encode(b"x" + head).decode(),
        )
    )


@asynccontextmanager
async def quoting_server() -> AsyncIterator[str]:
    """Run the server; yield its URL. The first part of the path chooses how it answers."""
    async with server(_serve) as url:
        yield url


async def _serve(stream: anyio.abc.SocketStream, _: int) -> None:
    head = await read_request(stream)
    await stream.send(_answer(head))


def _answer(head: bytes) -> bytes:
    method, target, *_ = head.decode("latin-1").split()
    _, kind, *_ = f"{target}/".split("/")
    text = quoted(head)
    line = text[:4000]
    if method == "CONNECT":
        return _response("407 " + line, text)
    match kind:
        case "task":
            return _response("200 OK", _task(target, text), "application/json")
        case "rejected":
            error = {"success": False, "status": 401, "error": {"message": text, "type": text[:99]}}
            return _response("401 Unauthorized", json.dumps(error), "application/json")
        case "slack":
            return _response("200 OK", json.dumps({"ok": False, "error": text, "needed": text}))
        case "location":
            return _response("302 " + line, text, f"text/html\r\nlocation: http://x.invalid/{line}")
        case "malformed":
            return f"HTTP/9 {line}\r\n\r\n".encode("latin-1")
        case "header":
            return f"HTTP/1.1 500 no\r\n{line}: \x00{line}\r\n\r\n".encode("latin-1")
        case _:
            return _response("403 " + line, text, f"text/plain\r\nx-quoted: {line}")


def _task(target: str, text: str) -> str:
    """Return a task that quotes the request in each of its values and names."""
    task_id = target.rsplit("/", 1)[-1]
    return json.dumps(
        {
            "task_id": task_id,
            "status": f"odd {text[text.find('Bearer') :][:80]}"
            if task_id == "task_odd"
            else "FAILED",
            "task_type": text,
            "error": {"message": text, text: [text]},
            "inputs": [text, {text: 1.50}],
            "outputs": {"quoted": text, "unreadable": ["\ud800", text]},
            "additional_data": {"namespace_id": text, "progress": text},
            text: text,
        }
    )


def _response(status: str, body: str, content_type: str = "text/html") -> bytes:
    content = body.encode()
    head = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {content_type}\r\n"
    return head.encode("latin-1") + b"content-length: %d\r\n\r\n" % len(content) + content
