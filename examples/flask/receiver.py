"""Receives the watcher's webhooks with Flask."""

import logging
import os

from flask import Flask, abort, request
from inbox import Inbox
from standardwebhooks import Webhook, WebhookVerificationError

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
inbox.start()  # in each process that loads this module: serve it with one process and threads

app = Flask(__name__)
# Bytes; the watcher sends at most `max_body` of the channel, 256 KiB by default.
app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024


@app.post("/hooks/tasks")
def receive() -> tuple[str, int]:
    """Verify, store, answer; the work follows."""
    body = request.get_data()  # the signature is of these bytes, not of parsed JSON
    try:
        webhook.verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):  # ValueError: no base64, no UTF-8
        abort(401, "invalid signature")
    webhook_id = request.headers["webhook-id"]
    if not inbox.add(webhook_id, body):
        log.info("duplicate %s", webhook_id)
    return "", 204
