"""The entry point: `watcher`, or `python -m watcher`."""

import signal
import sys

if "run" in sys.argv[1:] and sys.platform != "win32":
    # Before the imports, which are most of a start. Until the daemon handles signals itself, there
    # is nothing to finish, and the configuration is yet to be read.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

from watcher.cli.main import main

if __name__ == "__main__":
    main()
