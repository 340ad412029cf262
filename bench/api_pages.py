"""The CPU time of a page of 1,000 items of 1 KB of any API, decoded straight into what is compared.

Three expressions: the ID, the status from two places, the type from a nested one.
"""

import asyncio
import statistics
import time

import msgspec

from watcher.net.exchange import Reply
from watcher.sources.http import Settings
from watcher.sources.http.items import ItemReader
from watcher.sources.http.pages import PageDecoder

ITEMS = 1000
ROUNDS = 200
GOAL = 4.0
"""Milliseconds."""

SETTINGS = {
    "name": "runs",
    "base_url": "https://api.example",
    "get": "/runs/{id}",
    "item": {"id": "id", "status": ["conclusion", "status"], "type": "head.repository.name"},
    "list": {"get": "/runs", "items": "runs"},
}


def body() -> bytes:
    """Return a page in the manner of GitHub's."""
    items = [
        {
            "id": 30_433_642 + number,
            "status": "completed",
            "conclusion": "success" if number % 3 else None,
            "head": {"sha": "a" * 40, "repository": {"name": "hello", "private": False}},
            **{f"key_{place}": "v" * 20 for place in range(27)},
        }
        for number in range(ITEMS)
    ]
    return msgspec.json.encode({"runs": items})


async def main() -> None:
    settings = Settings.model_validate(SETTINGS)
    assert settings.list is not None
    reader = PageDecoder(settings.list, ItemReader(settings.language(), settings.id_form))
    reply = Reply(status=200, headers={}, body=body(), truncated=False)
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        page = await reader.read(reply)
        times.append((time.process_time() - began) * 1000)
        assert len(page.tasks) == ITEMS
    print(f"{ITEMS:,} items of {len(reply.body) / ITEMS:,.0f} bytes, three expressions:")
    print(f"  median {statistics.median(times):.2f} ms, least {min(times):.2f} ms of CPU time")
    print(f"  goal {GOAL:.0f} ms: {'reached' if statistics.median(times) <= GOAL else 'missed'}")


if __name__ == "__main__":
    asyncio.run(main())
