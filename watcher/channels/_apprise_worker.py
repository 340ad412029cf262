"""The process in which Apprise sends: `python -m watcher.channels._apprise_worker`.

Apprise opens its own connections, with whatever limits its plugins have. In a process of its own it
can be limited and ended. Requests and replies are lines of JSON on standard input and output:

    {"url": …, "idle": 60}                              {"encrypted": …, "host": …}, or null
    {"title": …, "body": …, "type": …, "key": …, "deadline": …}
                                                        {"delivered": …, "status": …, …}

The process ends with its input, after `idle` seconds without a request, and some seconds after
a request's deadline. It imports nothing of the watcher, so it starts and stays small.
"""

import http.client
import io
import json
import os
import resource
import signal
import sys
import threading
import time
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3

MEMORY_LIMIT = 512 * 1024 * 1024
"""Bytes of address space; Apprise with all its plugins takes about 70 MB."""
RESPONSE_LIMIT = 1024 * 1024
"""Maximum number of bytes read of a response; some plugins read what it contains."""
REST_WITHIN = 1.0
"""Seconds for a response's body."""

_PIECE = 16 * 1024
_GRACE = 5  # seconds
_BROKEN = (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError)


class _Body(io.BytesIO):
    """What was read of a response, in the place of the connection."""

    def __init__(self, content: bytes, original: object) -> None:
        super().__init__(content)
        self._original_response = original  # holds the cookies


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """Sends requests whose responses are bounded in size and time; follows no redirect."""

    statuses: list[tuple[int, str | None]] = []  # noqa: RUF012
    """The status and `Retry-After` of each response, whichever session received it."""
    failures: list[str] = []  # noqa: RUF012

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        request.headers["Accept-Encoding"] = "identity"  # a few KB may become many MB
        try:
            response = super().send(request, *args, **options)
        except requests.Timeout:
            self.failures.append("timeout")
            raise
        except requests.RequestException:
            self.failures.append("connect")
            raise
        self.statuses.append((response.status_code, response.headers.get("Retry-After")))
        response.headers.pop("Location", None)  # without it, nothing can be followed
        raw = response.raw
        response.raw = _Body(read_bounded(raw), getattr(raw, "_original_response", None))
        raw.close()
        return response


def read_bounded(raw: urllib3.HTTPResponse) -> bytes:
    """Read a body, as far as it arrives within `REST_WITHIN` and is valid, undecoded."""
    content = bytearray()
    until = time.monotonic() + REST_WITHIN
    timer = threading.Timer(REST_WITHIN, _end, [raw])
    timer.start()
    try:
        while len(content) < RESPONSE_LIMIT and time.monotonic() < until:
            piece = raw.read1(_PIECE, decode_content=False)
            if not piece:
                break
            content += piece
    except _BROKEN:
        pass
    finally:
        timer.cancel()
    return bytes(content[:RESPONSE_LIMIT])


def _end(raw: urllib3.HTTPResponse) -> None:
    """End a read that waits in the other thread."""
    try:
        raw.shutdown()
    except (*_BROKEN, RuntimeError):
        pass


def describe(url: str, service: Any) -> dict[str, Any]:
    """Return whether the service uses TLS or has no variant with it, and its host."""
    schema = urlsplit(url).scheme.lower()
    plain, encrypted = (
        {schemas} if isinstance(schemas, str) else set(schemas or ())
        for schemas in (service.protocol, service.secure_protocol)
    )
    return {
        "encrypted": schema in encrypted or not (schema in plain and encrypted),
        "host": str(service.host or ""),
    }


def notify(apprise: Any, service: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Send one notification; return how it ended."""
    BoundedAdapter.statuses.clear()
    BoundedAdapter.failures.clear()
    name_incident(service, request["key"])
    delivered = apprise.notify(
        title=request["title"],
        body=request["body"],
        notify_type=request["type"],
        body_format="text",
    )
    rejected = [seen for seen in BoundedAdapter.statuses if not 200 <= seen[0] < 300]
    status, retry_after = rejected[-1] if rejected else (None, None)
    return {
        "delivered": bool(delivered),
        "status": status,
        "retry_after": retry_after,
        "failure": BoundedAdapter.failures[-1] if BoundedAdapter.failures else None,
    }


def name_incident(service: Any, key: str) -> None:
    """Let a service that resolves incidents find the one that the same subject opened.

    Without a key such services use the title, which differs for an outage and its end.
    """
    action = str(getattr(service, "action", "")).lower().rpartition(".")[2]
    if action == "map" and hasattr(service, "dedup"):
        own = service.__dict__.setdefault("watcher_dedup", service.dedup)
        service.dedup = own or key


def serve(requests_in: IO[bytes], replies: IO[bytes]) -> None:
    """Reply to requests until the input ends."""
    first = json.loads(requests_in.readline() or b"null")
    if first is None:
        return
    import apprise

    service = apprise.Apprise.instantiate(first["url"], suppress_exceptions=True)
    _reply(replies, None if service is None else describe(first["url"], service))
    if service is None:
        return
    sender = apprise.Apprise()
    sender.add(service)
    while True:
        signal.alarm(first["idle"])
        line = requests_in.readline()
        if not line:
            return
        request = json.loads(line)
        signal.alarm(int(request["deadline"]) + _GRACE)
        _reply(replies, notify(sender, service, request))


def _reply(replies: IO[bytes], reply: object) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def main() -> None:
    # The daemon ends this process; a signal to all of its group must not cut an attempt off.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a plugin may print
    requests.sessions.HTTPAdapter = BoundedAdapter  # type: ignore[attr-defined]
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
