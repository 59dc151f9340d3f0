"""How long a decision about what is people's can be appealed: until a moment that is kept, and told, with it."""

from __future__ import annotations

from datetime import datetime

from promptforge.core.errors import Conflict


class AppealTooLate(Conflict):
    """`extra` has `appeal_until`."""

    code = "appeal_too_late"
    title = "The time in which this decision could be appealed is over"


def expect_in_time(appeal_until: datetime | None, now: datetime) -> None:
    """None: the decision is from before there was a limit, and has none. Raises `AppealTooLate`."""
    if appeal_until is not None and now > appeal_until:
        detail = f"This decision could be appealed until {appeal_until:%Y-%m-%d %H:%M} UTC"
        raise AppealTooLate(detail, extra={"appeal_until": appeal_until.isoformat()})
