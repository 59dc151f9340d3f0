"""Forks: a prompt made from another one's version, which remembers where it came from."""
