"""`watcher demo`."""
