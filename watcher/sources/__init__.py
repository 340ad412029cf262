"""Sources: upstream APIs to poll. One file each, found by the name in the configuration."""
