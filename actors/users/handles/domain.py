"""How long a handle is kept for whoever had it."""

from __future__ import annotations

from datetime import timedelta

KEPT_FREE = timedelta(days=90)
"""How long a handle that somebody gave up leads to them, and nobody else may have it."""
