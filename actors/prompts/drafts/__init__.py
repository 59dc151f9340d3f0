"""Drafts: what a prompt's next version is going to be, saved while it is written."""
