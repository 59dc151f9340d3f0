"""What a request for a refund goes through: asked for, refused, appealed once, refused for good; without a database.

A purchase keeps it as one document. That the credits came back is the purchase's own `refunded_at`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from promptforge.actors.marketplace.errors import (
    AlreadyAppealed,
    NoRefundRequested,
    NothingToAppeal,
    RefundPending,
    RefundRefused,
)
from promptforge.actors.marketplace.refunds.messages import RefundState, RefundView
from promptforge.core.appeals import expect_in_time

Request = dict[str, Any]  # Any: a MongoDB document


def asked(before: Request | None, words: str, now: datetime) -> Request:
    """Raises `RefundPending` or `RefundRefused`: one asks once."""
    if before is not None:
        raise RefundPending if waits(before) else RefundRefused
    return {"words": words, "requested_at": now}


def refused(request: Request | None, *, why: tuple[str, str], now: datetime, appeal_until: datetime) -> Request:
    """`why`: the reason's code, and the note. What an appeal ends with is final.

    Raises `NoRefundRequested` where nobody waits for a decision.
    """
    if request is None or not waits(request):
        raise NoRefundRequested
    final = request.get("appealed_at") is not None
    told = {"reason_code": why[0], "note": why[1], "final": final, "appeal_until": None if final else appeal_until}
    return {**request, "refused_at": now, **told}


def granted(request: Request, *, reason_code: str, note: str) -> Request:
    """With why a moderator granted it. What was given back is not taken again, so it is final."""
    return {**request, "reason_code": reason_code, "note": note, "final": True, "appeal_until": None}


def appealed(request: Request | None, words: str, now: datetime) -> Request:
    """Raises `NothingToAppeal`, `AlreadyAppealed` or `AppealTooLate`."""
    if request is None or request.get("refused_at") is None or request.get("final"):
        raise NothingToAppeal
    if request.get("appealed_at") is not None:
        raise AlreadyAppealed
    expect_in_time(request.get("appeal_until"), now)
    return {**request, "appeal": words, "appealed_at": now}


def refund_view(request: Request | None, refunded_at: datetime | None) -> RefundView | None:
    if request is None:
        return None
    state = RefundState.IN_REVIEW if waits(request) else RefundState.REFUSED
    return RefundView(
        state=state if refunded_at is None else RefundState.REFUNDED,
        words=request["words"],
        requested_at=request["requested_at"],
        decided_at=refunded_at or request.get("refused_at"),
        reason_code=request.get("reason_code"),
        note=request.get("note"),
        appealed_at=request.get("appealed_at"),
        final=request.get("final", False),
        appeal_until=request.get("appeal_until"),
    )


def waits(request: Request | None) -> bool:
    """Whether a moderator has yet to decide: about the request, or about the appeal."""
    if request is None:
        return False
    if request.get("refused_at") is None:
        return True
    return request.get("appealed_at") is not None and not request.get("final", False)
