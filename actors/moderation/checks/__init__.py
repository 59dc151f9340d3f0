"""Automatic checks of what is submitted: what they find is for a moderator to judge, and decides nothing."""
