"""A served API, and an environment in which commands find no configuration."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import TOKEN, Harness, harness_in


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.startswith(("WATCHER", "MIXPEEK")):
            monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)  # `watcher run` replaces it


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setenv("WATCHER_API_TOKEN", TOKEN)
    with harness_in(tmp_path, WATCHER_SERVER__API_TOKEN=TOKEN) as served:
        yield served
