"""Addresses of people's own that are called when they are told something."""
