"""A copy of the store as it was at one moment, also while a daemon uses it."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from watcher.core.errors import StoreError, StoreUnusableError
from watcher.stores.sqlite.file import share_with_group
from watcher.stores.sqlite.schema import APPLICATION_ID
from watcher.stores.sqlite.store import path_of

_PAGES_A_STEP = 256  # 1 MiB
_PATIENCE = 10.0  # seconds to wait for a lock


def backup(
    url: str, target: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Copy the store at `url` to the file `target`; return its size in bytes.

    The copy is checked, and replaces `target` only when it is complete. `progress` receives the
    number of pages copied, and of all pages. Raises `StoreUnusableError` if there is nothing to
    copy or the target cannot be written, and `StoreError` if the copy fails.
    """
    path = path_of(url)
    if not path.is_file():
        raise StoreUnusableError(f"{path} does not exist: there is no store to copy")
    if target.exists() and target.samefile(path):
        raise StoreUnusableError(f"{target} is the store itself; name another file")
    with complete_file(target) as copy:
        try:
            with closing(_snapshot(path)) as store:
                _copy(store, copy, progress)
        except sqlite3.Error as error:
            raise StoreError(f"the copy of {path} failed: {error}") from None
    return target.stat().st_size


def _snapshot(path: Path) -> sqlite3.Connection:
    """Return a connection that reads the store as it is now, whatever is written meanwhile."""
    store = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_PATIENCE
    )
    try:
        store.execute("PRAGMA query_only = 1")
        # Without a read transaction of its own, a backup begins again after each write.
        store.execute("BEGIN")
        (owner,) = store.execute("PRAGMA application_id").fetchone()
        store.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        store.close()
        raise
    if owner != APPLICATION_ID:
        store.close()
        raise StoreUnusableError(f"{path} is not a store of the watcher")
    return store


def _copy(store: sqlite3.Connection, copy: Path, progress: Callable[[int, int], None]) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as written:
        store.backup(
            written,
            pages=_PAGES_A_STEP,
            progress=lambda _, remaining, total: progress(total - remaining, total),
        )
        written.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
        (verdict,) = written.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"the copy is damaged, and so may be the store: {verdict}")


@contextmanager
def complete_file(target: Path) -> Iterator[Path]:
    """Yield a file that becomes `target` if nothing fails; its rights are those of a store."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        share_with_group(descriptor, target.parent)
    except OSError as error:
        raise StoreUnusableError(f"cannot write {target}: {error.strerror}") from None
    try:
        yield Path(name)
        os.fsync(descriptor)
        os.replace(name, target)  # noqa: PTH105
        _sync_folder(target.parent)
    except OSError as error:
        raise StoreUnusableError(f"cannot write {target}: {error.strerror}") from None
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
