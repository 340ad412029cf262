"""Progress of a wait: a bar on a terminal, elsewhere a line for each change."""

from types import TracebackType
from typing import Self

from watcher.cli.terminal import is_terminal, plain, say


class Progress:
    """Shows how many of `total` tasks have ended, on standard error."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._on_terminal = is_terminal(err=True)

    def __enter__(self) -> Self:
        if self._on_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            from watcher.cli.console import GuardedConsole

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=GuardedConsole(err=True),
                redirect_stdout=False,
                redirect_stderr=False,
                transient=True,
            )
            self._bar.start()
            self._row = self._bar.add_task("waiting", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._on_terminal:
            self._bar.stop()

    def changed(self, task_id: str, status: str | None, ended: bool) -> None:
        """Show that `task_id` now has `status`, and whether it has ended."""
        text = f"{plain(task_id)} {plain(status or 'not polled yet')}"
        self._ended += ended
        if self._on_terminal:
            self._bar.update(self._row, completed=self._ended, description=text)
        else:
            say(text, err=True)
