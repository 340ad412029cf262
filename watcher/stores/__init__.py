"""Stores: where the watchlist and the outbox are. One package per database, named as the scheme of
`store.url`.
"""
