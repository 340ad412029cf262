"""The entry point: `watcher`, or `python -m watcher`."""

from watcher.cli.main import main

if __name__ == "__main__":
    main()
