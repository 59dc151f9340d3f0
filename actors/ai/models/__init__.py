"""Language models: which are configured, and running them for other features."""
