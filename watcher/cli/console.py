"""A rich console for text from outside: no markup, no highlighting, no live control characters."""

import errno
import os
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from watcher.cli.streams import unguarded
from watcher.core.texts import visible_lines


class GuardedConsole(Console):
    """Writes to one of the command's streams, below its guard, which would escape the colours."""

    def __init__(self, *, err: bool = False, width: int | None = None) -> None:
        stream = unguarded(err)
        super().__init__(file=stream, width=width, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise `BrokenPipeError`, as every other writer does: rich would end the process here."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments, with escapes in the text of those that are not rich's own."""
        for segment in super().render(renderable, options):
            if segment.control or not segment.text:
                yield segment
            else:
                yield Segment(visible_lines(segment.text), segment.style)
