"""What a request changes, in the log: who sends it, and what it is about."""

import logging
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from watcher.api.clients import peer_of
from watcher.core.log_fields import about

logger = logging.getLogger(__name__)


Log = Callable[..., None]


async def _log_of(request: Request) -> Log:
    peer = peer_of(request.scope)

    def log(
        text: str,
        *values: object,
        source: str | None = None,
        channel: str | None = None,
        task_id: str | None = None,
        delivery_id: int | None = None,
    ) -> None:
        fields = about(
            peer=peer, source=source, channel=channel, task_id=task_id, delivery_id=delivery_id
        )
        logger.info(f"%s {text}", peer, *values, extra=fields)

    return log


Logged = Annotated[Log, Depends(_log_of)]
"""Logs what a request ends, removes or sends again: the peer, a text, and values for the text.

Names and IDs of a request are shown with `%.150r`, so that none can forge or flood a log line.
"""
