"""Secrets that are masked for a while only, so that no test depends on those of another."""

from collections.abc import Iterator
from contextlib import contextmanager

from watcher.core.masking import SECRETS


@contextmanager
def own_secrets() -> Iterator[None]:
    """Mask nothing further once the context has ended."""
    before = dict(vars(SECRETS))
    try:
        yield
    finally:
        vars(SECRETS).update(before)
