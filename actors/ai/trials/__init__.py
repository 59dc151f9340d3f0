"""Test runs: a version of a prompt, rendered with values and run once."""
