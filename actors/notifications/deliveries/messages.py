"""The states that something to be sent can be in."""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """`skipped`: it was not to be sent any more when its time came. `failed`: it could not be, and is given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    FAILED = "failed"
