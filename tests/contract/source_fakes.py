"""Fakes of upstream APIs for the source contract suite.

Each source type has one, in `tests/contract/sources/<type>.py`: a class `Fake` that implements
`SourceFake`. A new source needs no other change to be tested.
"""

import importlib
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from watcher.core.settings import SourceSettings
from watcher.testing.faults import Fault

KEY = "sk_test_0123456789"


class SourceFake(Protocol):
    """The fake of one upstream API. While `fault` is set, it takes the place of every answer."""

    fault: Fault | None

    def __init__(self, key: str = KEY) -> None:
        """`key` is the only API key that the fake accepts."""

    def settings(self, url: str, *, timeout: float = 10.0) -> SourceSettings:
        """Return settings of the source for the fake at `url`: the API key `KEY`, no rate limit."""
        ...

    def serve(self) -> AbstractAsyncContextManager[str]:
        """Serve on loopback; yields the base URL."""
        ...

    def set_task(
        self,
        task_id: str,
        status: str,
        *,
        task_type: str | None = None,
        error: str | None = None,
        extra: str | None = None,
    ) -> None:
        """Add a task; `extra` is text in a field of the task that the watcher does not know."""
        ...

    @property
    def request_count(self) -> int: ...


def fake_type(source_type: str) -> type[SourceFake]:
    """Return the fake of this type of source."""
    module = importlib.import_module(f"tests.contract.sources.{source_type}")
    return cast(type[SourceFake], module.Fake)
