"""When a refund is automatic, and which purchases count for their listing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.marketplace.purchases.domain import AUTOMATIC_FOR, REFUND_POLICY, automatic_until, counts

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_what_is_unused_is_refunded_for_the_asking_as_long_as_its_policy_says() -> None:
    assert automatic_until(REFUND_POLICY, NOW, used=False) == NOW + timedelta(days=14)
    assert automatic_until(REFUND_POLICY, NOW, used=True) is None
    assert automatic_until("a policy that nobody knows any more", NOW, used=False) is None
    assert "14 days" in REFUND_POLICY
    assert REFUND_POLICY in AUTOMATIC_FOR


@pytest.mark.parametrize(
    ("price", "share", "payable", "expected"),
    [
        (10_000, 8_500, 8_500, True),
        (10_000, 8_500, 8_499, False),
        (10_000, 8_500, 0, False),
        (0, 0, 0, False),
    ],
    ids=["paid", "a gift in it", "linked, or all of it a gift", "free"],
)
def test_only_what_was_paid_for_in_full_counts(price: int, share: int, payable: int, expected: bool) -> None:  # noqa: FBT001  # a parameter of the test
    assert counts(price=price, seller_share=share, payable=payable) is expected
