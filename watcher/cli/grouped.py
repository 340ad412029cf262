"""The help of `watcher`: its commands by what they are for."""

from collections.abc import Mapping

import click

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": ("init", "run", "status", "demo", "healthcheck"),
    "Tasks": ("add", "ls", "show", "wait", "rm"),
    "Deliveries": ("deliveries", "attempts", "retry", "replay", "purge", "channels", "routes"),
    "Mixpeek": ("tasks", "batches", "cancel-batch", "kill", "confirm-uploads", "sources"),
    "Tools": ("config", "backup", "sign", "verify", "completion"),
}
"""Every command, in the order of the help."""


class GroupedCommands(click.Group):
    """A group whose help lists its commands under the headings of `GROUPS`."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        limit = formatter.width - 6 - width
        for heading, names in GROUPS.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(limit)) for name in names
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)
