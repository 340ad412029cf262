"""The entry point: `watcher`, or `python -m watcher`."""

import os
import signal
import sys

if "run" in sys.argv[1:] and sys.platform != "win32":
    # Before the imports, which are most of a start. Until the daemon handles signals itself, there
    # is nothing to finish, and the configuration is yet to be read.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def main() -> None:
    """Run the command line; the console script."""
    try:
        _main()
    except KeyboardInterrupt:  # during the imports
        sys.exit(130)


def _main() -> None:
    if sys.argv[1:2] == ["healthcheck"]:
        from watcher.cli import health

        code = health.run(sys.argv[2:], os.environ)
        if code is not None:
            sys.exit(code)
    from watcher.cli import main as command_line

    command_line.main()


if __name__ == "__main__":
    main()
