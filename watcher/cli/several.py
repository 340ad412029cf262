"""One step for each of several IDs: an ID that the daemon rejects does not stop the others."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from watcher.cli.terminal import say
from watcher.core.errors import DaemonError

Id = TypeVar("Id", str, int)


def for_each(ids: Sequence[Id], step: Callable[[Id], object], done: str) -> None:
    """Run `step` for each ID, and print how many succeeded: `2 removed`, with `done` as the word.

    Prints the error of each that failed, and then exits 1. A daemon that cannot be reached or wants
    another token is the command's own error.
    """
    ids = list(dict.fromkeys(ids))
    failed = 0
    for each in ids:
        try:
            step(each)
        except DaemonError as error:
            if error.status in (None, 401, 403):
                raise
            failed += 1
            say(f"watcher: {each}: {error}", err=True)
    say(f"{len(ids) - failed} {done}")
    if failed:
        sys.exit(1)
