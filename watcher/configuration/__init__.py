"""The YAML file and the environment as settings."""
