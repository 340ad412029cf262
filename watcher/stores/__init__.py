"""Stores: where the watchlist and the outbox live. One file each, found by the scheme of `store.url`."""
