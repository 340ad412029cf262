"""Sources: one package per task API, loaded by the `type` in the configuration."""
