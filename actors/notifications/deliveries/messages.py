"""The states that something to be sent can be in, and the sweep of what nobody sends any more."""

from __future__ import annotations

from enum import StrEnum

from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal


class DeliveryState(StrEnum):
    """`skipped`: it was not to be sent any more when its time came. `failed`: it could not be, and is given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    FAILED = "failed"


@internal
@job(timeout_seconds=300)
class SweepDeliveries(Command[int]):
    """End the deliveries whose job was cancelled or died; answers how many there were."""
