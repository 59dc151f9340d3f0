"""How a refund stands that a buyer asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RefundState(StrEnum):
    IN_REVIEW = "in_review"
    REFUSED = "refused"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class RefundView:
    """What became of a buyer's request for a refund; what a moderator decided has a stable reason code and a note.

    It can be appealed, once (`appealed_at`), until `appeal_until`, and is in review again until another moderator has
    decided. What the appeal ends with is `final`, and so is a refund that was granted.
    """

    state: RefundState
    words: str
    requested_at: datetime
    decided_at: datetime | None
    reason_code: str | None
    note: str | None
    appealed_at: datetime | None = None
    final: bool = False
    appeal_until: datetime | None = None
