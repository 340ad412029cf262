"""One cheap request that shows whether a source is reachable and accepts its key."""

import secrets
from contextlib import aclosing
from dataclasses import dataclass

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import ChecksAccess, Source
from watcher.core.tasks import TaskNotFound

ACCEPTED = "key accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """What the request showed. `reason` is why it failed, None without a failure."""

    good: bool
    text: str
    reason: SourceFailure | None = None


async def check_source(source: Source) -> SourceCheck:
    """Let the source check itself, or poll a task that cannot exist: the answer has to be 404."""
    endpoint = source.single
    try:
        if isinstance(source, ChecksAccess):
            return SourceCheck(good=True, text=f"{ACCEPTED}; {await source.check_access()}")
        await endpoint.admit()
        async with aclosing(endpoint.fetch([f"watcher-check-{secrets.token_hex(8)}"])) as parts:
            answers = [answer async for part in parts for answer in part]
    except SourceError as error:
        hint = ": check the key" if error.reason is SourceFailure.UNAUTHORIZED else ""
        return SourceCheck(good=False, text=f"{error}{hint}", reason=error.reason)
    if len(answers) == 1 and isinstance(answers[0], TaskNotFound):
        return SourceCheck(good=True, text=ACCEPTED)
    return SourceCheck(good=False, text="returned a task that cannot exist: check base_url")
