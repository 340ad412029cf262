"""What `watcher demo` needs besides the daemon: a made-up upstream, a receiver, a script and a view.

The tests use the same upstream and receiver, and switch on their faults.
"""
