"""Requests for a reload, and what a reload keeps."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import anyio

from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings
from watcher.core.wakeup import Wakeup

logger = logging.getLogger(__name__)

_NEEDS_RESTART = ("store", "server", "telemetry")


class ReloadRequests:
    """The newest settings to run with, and whether to stop. A request never waits: one that was
    not applied yet is replaced.
    """

    def __init__(self) -> None:
        self.stopping = anyio.Event()
        self._last: Settings | None = None
        self._settings: Settings | None = None
        self._wakeup = Wakeup()

    def reload(self, settings: Settings) -> None:
        """Run with these settings from now on."""
        self._settings = settings
        self._wakeup.set()

    def begin(self, settings: Settings) -> None:
        """Run with these settings, unless others were requested before."""
        if self._settings is None:
            self.reload(settings)

    def apply_again(self) -> None:
        """Apply the settings once more, although they are the same: something else has changed."""
        if self._settings is None:
            self._settings = self._last
        self._wakeup.set()

    def stop(self) -> None:
        """Stop in order."""
        self.stopping.set()

    async def next(self) -> Settings:
        """Wait for settings that were not returned before."""
        while True:
            generation = self._wakeup.generation
            if (settings := self._settings) is not None:
                self._settings = None
                self._last = settings
                return settings
            await self._wakeup.wait(generation)


class Reloader:
    """Reloads the configuration; sections that need a restart keep their first values.

    `load` reads the configuration. While the file is invalid, `load_secrets` returns the settings
    of the last valid one with the secrets as they are now. `ended` receives whether the reload
    succeeded.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        load_secrets: Callable[[], Settings],
        ended: Callable[[bool], None],
    ) -> None:
        self._first = self._current = settings
        self._load = load
        self._load_secrets = load_secrets
        self._ended = ended
        self._problems: list[str] = []
        self._stamps = stamps_of(settings.files)

    def files_changed(self) -> bool:
        """Return whether a file has changed whose change is a reason to reload: of a secret or a
        certificate, or any of a configuration that was rejected.
        """
        return stamps_of(self._stamps) != self._stamps

    def reload(self) -> Settings | None:
        """Return the settings to run with; None without valid ones. Each error is logged."""
        # From before they are read: a change during the reload is one that follows it.
        before = stamps_of(self._stamps)
        try:
            reloaded = self._load()
        except ConfigurationError as error:
            self._stamps = _merged(before, self._current.files | error.files)
            return self._rejected(error)
        self._problems, self._stamps = [], _merged(before, reloaded.files)
        for name in _NEEDS_RESTART:
            if getattr(reloaded, name) != getattr(self._first, name):
                logger.warning("a change to %s needs a restart; the old value is kept", name)
        logger.info("configuration reloaded")
        self._ended(True)
        return self._use(reloaded)

    def _rejected(self, error: ConfigurationError) -> Settings | None:
        self._ended(False)
        if error.problems != self._problems:
            self._problems = error.problems
            for problem in error.problems:
                logger.error("invalid configuration, nothing was changed: %s", problem)
        try:
            kept = self._load_secrets()
        except ConfigurationError:
            return None  # what is wrong with the secrets is among the problems
        if self._with_first(kept) != self._current:
            logger.info("changed secrets are used; the invalid configuration is not")
        return self._use(kept)

    def _use(self, settings: Settings) -> Settings:
        self._current = self._with_first(settings)
        return self._current

    def _with_first(self, settings: Settings) -> Settings:
        kept = {name: getattr(self._first, name) for name in _NEEDS_RESTART}
        return settings.model_copy(update=kept)


Stamp = tuple[int, ...] | None
"""What distinguishes two states of a file; None if it cannot be read."""


def stamps_of(files: Iterable[Path]) -> Mapping[Path, Stamp]:
    """Return device, inode, size and the times of the last change of each file, behind links:
    Kubernetes replaces one above the file. `ctime` shows what keeps size and `mtime`, such as
    `cp -p`, and that a mounted file was replaced on the host.
    """
    stamps: dict[Path, Stamp] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            stamps[file] = None
        else:
            stamps[file] = (
                *(status.st_dev, status.st_ino, status.st_size),
                *(status.st_mtime_ns, status.st_ctime_ns),
            )
    return stamps


def _merged(before: Mapping[Path, Stamp], files: Iterable[Path]) -> Mapping[Path, Stamp]:
    """Return the stamps of `files`: those from `before`, and for other files as they are now."""
    return {file: before.get(file, stamp) for file, stamp in stamps_of(files).items()}
