"""What the schedule asks of the ledger of real money."""

from __future__ import annotations

from promptforge.core.jobs.policy import job
from promptforge.core.messages import Command, internal


@internal
@job(timeout_seconds=3600, keep_dead=None)
class PostMoney(Command[int]):
    """Post what has moved at Stripe since the last time, each balance transaction once; answers how many were new."""


@internal
@job(timeout_seconds=3600)
class CompareMoney(Command[bool]):
    """Compare the sums of the ledger with Stripe's balance, and log an error for each currency that differs.

    Answers whether they are equal in every currency.
    """
