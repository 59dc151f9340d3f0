"""The package format: what a file holds, how it is written, and whether it can be trusted. Needs no database."""
