"""The words in which notices tell of appeals."""

from __future__ import annotations

from datetime import datetime

UPHELD = "Your appeal was heard by another moderator, who decided as before. That is final."
CHANGED = "Your appeal was heard by another moderator, and changed the decision."


def how_to_appeal(path: str, until: datetime) -> str:
    """`path`: where the appeal is posted."""
    return (
        f"If you think that this is wrong, appeal until {until:%Y-%m-%d}, once and in your own words "
        f"(POST {path}): another moderator decides."
    )
