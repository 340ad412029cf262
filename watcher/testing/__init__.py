"""A fake Mixpeek API and a webhook receiver, both on loopback and both able to inject faults.

Used by `watcher demo`, by the tests, and by authors of sources and channels.
"""
