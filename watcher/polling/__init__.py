"""From a source to the store."""
