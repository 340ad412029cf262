"""From the store to a channel."""
