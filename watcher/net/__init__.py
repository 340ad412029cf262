"""Outgoing HTTP: transport, TLS, bounded exchanges, rate and concurrency limits."""
