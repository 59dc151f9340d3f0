"""Prompts and their immutable versions."""
