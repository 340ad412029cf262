"""Headers that keep a browser from interpreting or keeping a response."""

from starlette.types import Message, Send

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def hardened(send: Send) -> Send:
    """Add those that a response does not have."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in SECURITY_HEADERS if name not in named]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with_headers
