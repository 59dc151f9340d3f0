"""Jobs that move money are kept until somebody has looked at them."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.billing.ledger.messages import SettleSeller, WithholdLinked
from promptforge.actors.billing.messages import ProcessStripeEvent
from promptforge.actors.billing.money.messages import PostMoney
from promptforge.actors.billing.payouts.messages import SendPayout
from promptforge.core.jobs.policy import policy_of
from promptforge.core.messages import Message


@pytest.mark.parametrize("kind", [PostMoney, ProcessStripeEvent, SendPayout, SettleSeller, WithholdLinked])
def test_a_dead_job_that_moves_money_does_not_expire(kind: type[Message[Any]]) -> None:
    assert policy_of(kind).keep_dead is None
