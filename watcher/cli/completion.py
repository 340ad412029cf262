"""`watcher completion`: scripts that complete commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

from watcher.cli.terminal import say_lines

VARIABLE = "_WATCHER_COMPLETE"
"""What the script sets when it calls the command for words; click reads it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for a shell.

    \b
    bash:  watcher completion bash > ~/.local/share/bash-completion/completions/watcher
    zsh:   watcher completion zsh > "${fpath[1]}/_watcher"
    fish:  watcher completion fish > ~/.config/fish/completions/watcher.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    script = found(context.find_root().command, {}, "watcher", VARIABLE)
    say_lines((script.source_template % script.source_vars()).strip())


COMMANDS = (completion,)
