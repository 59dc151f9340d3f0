"""A moderator's decision as whom it is against sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RulingView:
    """What a moderator decided against you, and how it stands: a stable reason code and a note.

    It can be appealed, once (`appealed_at`), until `appeal_until` (null: not any more). What the appeal ends with is
    `final`, and has the reason and the note of that; `overturned_at` where it was granted.
    """

    reason_code: str
    note: str
    decided_at: datetime
    appeal_until: datetime | None
    appealed_at: datetime | None
    final: bool
    overturned_at: datetime | None = None
