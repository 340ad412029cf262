"""Notices that the files of the store were removed or replaced under the running daemon."""

import logging

import anyio

from watcher.core.errors import StoreMovedError
from watcher.core.interfaces.maintenance import Maintenance

logger = logging.getLogger(__name__)

CHECK_INTERVAL = 2.0
"""Seconds between two checks. Each write checks, too, but a watcher without changes writes none."""


async def follow(store: Maintenance, following: anyio.CancelScope) -> None:
    """Check until `following` is cancelled; log once that files are gone, and that they are back.

    The daemon runs on meanwhile: what it has in memory and in its open files is all there is.
    """
    gone = False
    with following:
        while True:
            try:
                await store.check_files()
            except StoreMovedError as error:
                if not gone:
                    # As text: the log leaves out the error itself, which all components get.
                    logger.error("%s", str(error))
                gone = True
            else:
                if gone:
                    logger.info("the files of the store are back: events are stored again")
                gone = False
            await anyio.sleep(CHECK_INTERVAL)
