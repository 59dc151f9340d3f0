"""When a refund is automatic, and which purchases count: pure rules about the terms that a purchase was made on."""

from __future__ import annotations

from datetime import datetime, timedelta

REFUND_POLICY = "2026-11: refundable within 14 days while unused"
"""The text version that a purchase is made under; it stays with the purchase."""
AUTOMATIC_FOR = {REFUND_POLICY: timedelta(days=14)}
"""How long each policy there ever was gives the credits back without a question."""


def automatic_until(policy: str, bought_at: datetime, *, used: bool) -> datetime | None:
    """Until when the buyer gets their credits back for the asking; None where somebody has to decide."""
    window = AUTOMATIC_FOR.get(policy)
    return None if used or window is None else bought_at + window


def counts(*, price: int, seller_share: int, payable: int) -> bool:
    """Whether a purchase says something about its listing: in ratings, best sellers and trends.

    Only what was paid with bought or earned credits, between people who share no card or bank, is payable in full to
    its seller. What was free, or paid with a gift, could be had in any number.
    """
    return price > 0 and payable == seller_share > 0
