"""`watcher store`: what is done to a store while no daemon uses it."""

from collections.abc import Callable

import click

from watcher.cli.terminal import is_terminal, overwrite, say


@click.group("store")
def store_group() -> None:
    """Copy a stopped store to another URL."""


@store_group.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy the store at the URL FROM to the empty one at TO.

    Both are URLs as in store.url: sqlite:////path/of/file, or postgresql://user@host/database. The
    daemon has to be stopped. Everything is carried: watches, events, deliveries with attempts, and
    what channels, sources and discovery have stored; numbers and IDs stay. The copy is compared
    with the original. If anything fails, the target is as it was.
    """
    import anyio

    from watcher.cli.tables import print_table
    from watcher.configuration import plugins
    from watcher.core.masking import SECRETS
    from watcher.core.secret_parts import passwords_in
    from watcher.daemon import store_copy

    SECRETS.add([*passwords_in(source), *passwords_in(target)])
    copied = anyio.run(store_copy.copy, source, target, _progress())
    print_table(
        ("table", "rows", "digest"),
        (
            {"table": name, "rows": contents.count, "digest": contents.digest}
            for name, contents in copied.items()
        ),
    )
    shown = plugins.load_store(target).shown(target)
    rows = sum(contents.count for contents in copied.values())
    say(f"copied {rows} rows to {shown}; both have the same counts and digests")


def _progress() -> Callable[[str, int, int], None]:
    """Return what shows the progress; elsewhere than on a terminal only the result is printed."""
    if not is_terminal(err=True):
        return lambda table, done, total: None
    return lambda table, done, total: overwrite(
        f"copying {table}: {100 * done // max(total, 1)} %", end=done >= total
    )
