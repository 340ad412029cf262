"""Upstream's words for statuses, and the canonical status of each.

APIs spell the same end in many ways: `CANCELLED`, `completed-with-errors`, `SUCCEEDED`. Polling and
events know one word for each, and an event also carries upstream's own.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from watcher.core.masking import SECRETS
from watcher.core.tasks import KNOWN_STATUSES
from watcher.core.texts import is_shown

_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "QUEUED": ("ACCEPTED", "ENQUEUED", "IN_QUEUE", "SCHEDULED", "STARTING", "SUBMITTED", "WAITING"),
    "IN_PROGRESS": ("CANCELING", "CANCELLING", "EXECUTING", "RUNNING", "STARTED"),
    "COMPLETED": ("COMPLETE", "DONE", "FINISHED", "SUCCESS", "SUCCESSFUL", "SUCCEEDED"),
    "COMPLETED_WITH_ERRORS": (
        *("COMPLETED_WITH_ERROR", "COMPLETED_WITH_FAILURES", "COMPLETED_WITH_WARNINGS"),
        *("PARTIAL_SUCCESS", "PARTIALLY_COMPLETED", "PARTIALLY_FAILED", "PARTIALLY_SUCCEEDED"),
    ),
    "FAILED": ("ERROR", "ERRORED", "EXPIRED", "FAIL", "FAILURE", "TIMED_OUT", "TIMEOUT"),
    "CANCELED": ("ABORTED", "CANCEL", "CANCELLED", "KILLED", "REVOKED"),
}
_STATUS_LIMIT = 100
_WORD_LIMIT = 256
"""Characters of upstream's own word, with what surrounds the status."""
_WORDS_KEPT = 1024


def word_key(word: str) -> str:
    """Return what words that differ in case and separators only have in common."""
    return re.sub(r"[\s_-]+", "", word).upper()


_CANONICAL = {word_key(status): status for status in KNOWN_STATUSES} | {
    word_key(word): status for status, words in _OTHER_WORDS.items() for word in words
}


class StatusTable:
    """The table of one source; `additional` maps further words to known statuses."""

    def __init__(self, additional: Mapping[str, str] | None = None) -> None:
        own = {word_key(word): status for word, status in (additional or {}).items()}
        self._canonical = _CANONICAL | own
        self._look_up: Callable[[str], str] = lru_cache(maxsize=_WORDS_KEPT)(self._find)

    def canonical(self, word: object) -> str:
        """Return the canonical status; empty where `word` cannot be a status.

        An unknown status is its own canonical one, in upper case.
        """
        if not isinstance(word, str):
            return ""
        if len(word) > _WORD_LIMIT:
            return ""
        return word if word in KNOWN_STATUSES else self._look_up(word)

    def _find(self, word: str) -> str:
        if (known := self._canonical.get(word_key(word))) is not None:
            return known
        status = SECRETS.text(word).strip().upper()
        return status if len(status) <= _STATUS_LIMIT and is_shown(status) else ""
