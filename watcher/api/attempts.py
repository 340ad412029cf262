"""A limit on wrong tokens."""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable

from watcher.core.log_fields import about
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FREE_ATTEMPTS = 10
"""Wrong tokens of a peer before they are limited."""
INTERVAL = 5.0
"""Seconds for each further one."""
MOST_PEERS = 1024
"""Peers remembered; the one that was wrong longest ago is forgotten first."""
_LOG_INTERVAL = 60.0
"""Seconds between two log lines about peers that have to wait."""


class TokenAttempts:
    """Counts wrong tokens by peer. `now` returns monotonic seconds.

    The right token is never counted, and is accepted from a limited peer too: peers share
    addresses (loopback, NAT, a proxy), so that anyone could lock out everyone else otherwise.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._full_again_at: OrderedDict[str, float] = OrderedDict()
        self._throttle = LogThrottle(now, _LOG_INTERVAL)

    def wrong(self, peer: str) -> int | None:
        """Count a wrong token of `peer`; return the seconds until the next one may come, None if
        this one was within the limit.
        """
        # The generic cell rate algorithm: one number per peer instead of a list of times.
        now = self._now()
        full_again_at = max(self._full_again_at.pop(peer, now), now)
        wait = full_again_at - now - (FREE_ATTEMPTS - 1) * INTERVAL
        if wait <= 0:
            full_again_at += INTERVAL
        self._full_again_at[peer] = full_again_at
        while len(self._full_again_at) > MOST_PEERS:
            self._full_again_at.popitem(last=False)
        if wait <= 0:
            return None
        if self._throttle.ready("limited"):
            logger.warning(
                "%s has sent %d wrong API tokens: limited",
                peer,
                FREE_ATTEMPTS,
                extra=about(peer=peer),
            )
        return math.ceil(wait)
