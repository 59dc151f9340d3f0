"""Favourites: listings that somebody wants to find again."""
