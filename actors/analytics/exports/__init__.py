"""Exports: everything of one kind in a file, written by a job and downloaded for a week."""
