"""The help of `watcher`: its commands by what they are for."""

from collections.abc import Mapping

import click

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": ("init", "run", "status", "demo", "healthcheck"),
    "Tasks": ("add", "ls", "show", "wait", "rm"),
    "Deliveries": ("deliveries", "attempts", "retry", "replay", "purge", "channels", "routes"),
    "Mixpeek": ("tasks", "batches", "cancel-batch", "kill", "confirm-uploads", "sources"),
    "Tools": ("config", "backup", "store", "sign", "verify", "completion"),
}
"""Every command, in the order of the help."""


class GroupedCommands(click.Group):
    """A group whose help lists its commands under the headings of `GROUPS`."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; an error names the group that has one of this name."""
        name = arguments[0]
        groups = [
            f"`watcher {group} {name}`"
            for group, command in self.commands.items()
            if isinstance(command, click.Group) and name in command.commands
        ]
        if name not in self.commands and groups:
            context.fail(f"No such command {name!r}. Did you mean {' or '.join(groups)}?")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        limit = formatter.width - 6 - width
        for heading, names in GROUPS.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(limit)) for name in names
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)
