"""The periods of subscriptions."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta


def period_end(start: int, interval: str, count: int = 1) -> int:
    """When a period that begins at `start` ends. A month from the 31st ends with the shorter month."""
    begins = datetime.fromtimestamp(start, UTC)
    if interval in {"day", "week"}:
        return int((begins + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = begins.month - 1 + count * (12 if interval == "year" else 1)
    year, month = begins.year + months // 12, months % 12 + 1
    day = min(begins.day, calendar.monthrange(year, month)[1])
    return int(begins.replace(year=year, month=month, day=day).timestamp())
