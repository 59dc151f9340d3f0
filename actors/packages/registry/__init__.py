"""Packages and their versions: drafted, published once, yanked, revoked."""
