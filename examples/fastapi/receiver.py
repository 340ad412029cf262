"""Receives the watcher's webhooks with FastAPI."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from inbox import Inbox
from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 1024 * 1024
"""Bytes; the watcher sends at most `max_body` of the channel, 256 KiB by default."""

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("receiver")
webhook = Webhook(os.environ["WEBHOOK_SECRET"])


def work(event: dict) -> None:
    """Do what the event requires. If this raises, it is called again later."""
    data = event["data"]
    if event["type"] == "task.failed":
        # `sequence` counts a task's changes: skip an event older than one that you have seen.
        log.info("%s failed: %s", data["task_id"], data["error_message"])


inbox = Inbox(os.environ.get("INBOX", "inbox.db"), work)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Work while the application runs."""
    inbox.start()
    yield
    inbox.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/hooks/tasks", status_code=204)
async def receive(request: Request) -> None:
    """Verify, store, answer; the work follows."""
    body = await read_body(request)  # the signature is of these bytes, not of parsed JSON
    try:
        webhook.verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):  # ValueError: no base64, no UTF-8
        raise HTTPException(401, "invalid signature") from None
    webhook_id = request.headers["webhook-id"]
    if not await run_in_threadpool(inbox.add, webhook_id, body):
        log.info("duplicate %s", webhook_id)


async def read_body(request: Request) -> bytes:
    """Return the body; raise 413 as soon as it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    return body
