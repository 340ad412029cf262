"""Output of the demo: a line for each transition and each delivery, Slack messages, a summary."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watcher.cli.console import GuardedConsole
from watcher.cli.tables import style_of
from watcher.testing.receiver import Received

_LABELLED = re.compile(r"<[^<>|]*\|([^<>]*)>")
_MENTION = re.compile(r"<!(\w+)>")
_MARKUP = re.compile(r"```|`|\*")


class View:
    """Prints to `console`. rich omits colours without a terminal."""

    def __init__(self, console: GuardedConsole) -> None:
        self._console = console

    def opening(self, tasks: int, api: str, *, serves: bool = False) -> None:
        """Introduce the demo."""
        page = f"The live page is at {api}/ (no token: it is read only).\n" if serves else ""
        self._console.print(
            Text.assemble(
                ("watcher demo", "bold"),
                f"  {tasks} simulated tasks in twenty seconds\n",
                "The daemon polls a fake API and sends signed webhooks to a receiver, all on\n",
                f"loopback. Its own API is at {api}.\n{page}",
            )
        )

    def transition(self, seconds: float, data: Mapping[str, Any]) -> None:
        """Show a stored status change."""
        previous, status = data["previous_status"] or "·", data["status"]
        self._line(
            seconds,
            "changed",
            "cyan",
            Text.assemble(f"{data['task_id']:<20} {previous} → ", (status, style_of(status))),
        )

    def delivery(self, seconds: float, received: Received) -> None:
        """Show a received webhook."""
        verification = (
            ("signature verified", "green")
            if received.verified
            else ("INVALID SIGNATURE", "bold red")
        )
        data = received.event["data"]
        text = Text.assemble(f"{data['task_id']:<20} {received.event['type']}  ", verification)
        self._line(seconds, "webhook", "blue", text)

    def slack(self, message: Mapping[str, Any]) -> None:
        """Show a Slack message roughly as Slack does."""
        attached = [block for one in message["attachments"] for block in one["blocks"]]
        lines = [line for block in (*message["blocks"], *attached) for line in _block_lines(block)]
        body = Text("\n".join(html.unescape(line) for line in lines))
        colour = next((one["color"] for one in message["attachments"]), "magenta")
        self._console.print(
            Panel(body, title="Slack", title_align="left", border_style=colour, width=96)
        )

    def summary(self, rows: Sequence[tuple[str, str]], statuses: Mapping[str, int]) -> None:
        """Show the totals, and how many tasks have each status."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column()
        for name, value in rows:
            table.add_row(name, value)
        parts = [
            (f"{count} {status}  ", style_of(status)) for status, count in sorted(statuses.items())
        ]
        table.add_row("final statuses", Text.assemble(*parts))
        self._console.print()
        self._console.print(table)
        self._console.print("\nWith your own tasks: watcher init")

    def continuing(self, api: str) -> None:
        """Show, at the end of the first round, that others follow."""
        self._console.print(
            f"\nMore tasks follow. The live page is at {api}/; Ctrl-C ends the demo.\n"
            f"Commands of another terminal reach it with --url, such as:\n"
            f"  watcher status --url {api}\n",
            soft_wrap=True,
        )

    def _line(self, seconds: float, kind: str, colour: str, text: Text) -> None:
        self._console.print(
            Text.assemble((f"{seconds:5.1f} s  ", "dim"), (f"{kind:<8} ", colour), text),
            soft_wrap=True,
        )


def _block_lines(block: Mapping[str, Any]) -> list[str]:
    texts = block.get("elements", [block.get("text")])
    return [_bare(text["text"]) for text in texts]


def _bare(text: str) -> str:
    """Return a text without Slack's markup."""
    return _MARKUP.sub("", _MENTION.sub(r"@\1", _LABELLED.sub(r"\1", text)))
