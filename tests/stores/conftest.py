"""What the tests of the SQLite store share: an empty folder for its file."""

from pathlib import Path

import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/watcher.db"


@pytest.fixture
def file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
