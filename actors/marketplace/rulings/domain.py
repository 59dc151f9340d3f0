"""What a decision goes through that is against somebody: made, appealed once, upheld or overturned; without a database.

It is one document, kept with what it is about. It names its case, so that an appeal can say what it is against: whoever
decided that one, or brought it up, does not hear the appeal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promptforge.actors.marketplace.errors import AlreadyAppealed, NothingToAppeal
from promptforge.actors.marketplace.rulings.messages import RulingView
from promptforge.core.appeals import expect_in_time

Ruling = dict[str, Any]  # Any: a MongoDB document


@dataclass(frozen=True, slots=True)
class Why:
    """The case that was decided, the reason's code, and the note."""

    case_id: str
    reason_code: str
    note: str


def made(why: Why, now: datetime, *, appeal_until: datetime) -> Ruling:
    return {
        "case_id": why.case_id,
        "reason_code": why.reason_code,
        "note": why.note,
        "decided_at": now,
        "appeal_until": appeal_until,
        "appealed_at": None,
        "final": False,
        "overturned_at": None,
    }


def appealed(ruling: Ruling | None, now: datetime) -> Ruling:
    """With whose words, its case says. Raises `NothingToAppeal`, `AlreadyAppealed` or `AppealTooLate`."""
    if ruling is None or ruling["final"]:
        raise NothingToAppeal
    if ruling["appealed_at"] is not None:
        raise AlreadyAppealed
    expect_in_time(ruling["appeal_until"], now)
    return {**ruling, "appealed_at": now}


def heard(ruling: Ruling, why: Why, now: datetime, *, granted: bool) -> Ruling:
    """The appeal was decided, and that is final."""
    told = {"reason_code": why.reason_code, "note": why.note, "decided_at": now, "appeal_until": None}
    return {**ruling, **told, "final": True, "overturned_at": now if granted else None}


def waits(ruling: Ruling | None) -> bool:
    """Whether an appeal is to be decided."""
    return ruling is not None and ruling["appealed_at"] is not None and not ruling["final"]


def ruling_view(ruling: Ruling | None) -> RulingView | None:
    if ruling is None:
        return None
    return RulingView(
        reason_code=ruling["reason_code"],
        note=ruling["note"],
        decided_at=ruling["decided_at"],
        appeal_until=ruling["appeal_until"],
        appealed_at=ruling["appealed_at"],
        final=ruling["final"],
        overturned_at=ruling["overturned_at"],
    )
